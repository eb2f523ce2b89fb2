# The Python tests, on the package in the build tree, and the wheel in a virtual environment of its own.
set(python_environment PYTHONPATH=${CMAKE_BINARY_DIR}/python PYTHONDONTWRITEBYTECODE=1 RAREFY_SOURCE=${PROJECT_SOURCE_DIR})
if(RAREFY_TRAIN)
  set(wheel_environment RAREFY_REQUIRE_TORCH=1)
  list(APPEND python_environment RAREFY_REQUIRE_TORCH=1)  # set-up installs it: its absence is a failure, not a skip
endif()
file(GLOB python_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/python/tests/test_*.py)
foreach(test IN LISTS python_tests)
  cmake_path(GET test STEM stem)
  string(REPLACE test_ "" name ${stem})
  add_test(NAME python.${name} COMMAND ${Python_EXECUTABLE} -m pytest -q -rs -p no:cacheprovider ${test})
  set_tests_properties(python.${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "${python_environment}"
    SKIP_REGULAR_EXPRESSION "no tests ran|[^0-9]0 passed|\n1 skipped in")
endforeach()

add_test(NAME python.wheel COMMAND ${Python_EXECUTABLE} ${PROJECT_SOURCE_DIR}/python/tests/wheel.py ${CMAKE_BINARY_DIR}-wheel)
set_tests_properties(python.wheel PROPERTIES TIMEOUT 1800 LABELS slow
  ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;CMAKE_ARGS=-DRAREFY_WERROR=${RAREFY_WERROR};${wheel_environment}")
