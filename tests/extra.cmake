# Tests of the tools, of the installed tree and of programs. Sanitizer builds test none of these: they build parts only.
find_package(Python3 COMPONENTS Interpreter QUIET)  # only the path of last resort: Debian's own is preferred
set(RAREFY_INTERPRETER /usr/bin/python3)
if(NOT EXISTS ${RAREFY_INTERPRETER})
  set(RAREFY_INTERPRETER ${Python3_EXECUTABLE})
endif()

# Each public header compiles alone, twice included, with nothing but include/ to find.
file(GLOB public_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/rarefy/*.h)
set(header_sources)
foreach(header IN LISTS public_headers)
  cmake_path(GET header STEM stem)
  set(source ${CMAKE_BINARY_DIR}/gen/header_checks/${stem}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"rarefy/${stem}.h\"\n#include \"rarefy/${stem}.h\"\n" @ONLY)
  list(APPEND header_sources ${source})
endforeach()
add_library(header_checks OBJECT ${header_sources})
target_include_directories(header_checks PRIVATE ${PROJECT_SOURCE_DIR}/include)
target_compile_options(header_checks PRIVATE -Wall -Wextra -Werror)

if(RAREFY_SANITIZE)
  return()
endif()

add_test(NAME tools.check_layers COMMAND ${RAREFY_INTERPRETER} ${PROJECT_SOURCE_DIR}/tools/check_layers --build ${CMAKE_BINARY_DIR})
add_test(NAME tools.check_sizes COMMAND ${RAREFY_INTERPRETER} ${PROJECT_SOURCE_DIR}/tools/check_sizes)
add_test(NAME tools.checks_catch_what_they_should
  COMMAND ${RAREFY_INTERPRETER} ${CMAKE_CURRENT_SOURCE_DIR}/tools/checks_test.py)
add_test(NAME tools.pt_to_safetensors
  COMMAND ${RAREFY_INTERPRETER} ${CMAKE_CURRENT_SOURCE_DIR}/tools/pt_to_safetensors_test.py)
add_test(NAME tools.results_say_what_was_measured
  COMMAND ${RAREFY_INTERPRETER} ${CMAKE_CURRENT_SOURCE_DIR}/tools/results_test.py)
add_test(NAME tools.proof_of_input_sparsity
  COMMAND ${RAREFY_INTERPRETER} ${CMAKE_CURRENT_SOURCE_DIR}/tools/input_sparsity_test.py)
add_test(NAME tools.operators_are_documented
  COMMAND ${RAREFY_INTERPRETER} ${CMAKE_CURRENT_SOURCE_DIR}/tools/operators_test.py)
if(EXISTS ${PROJECT_SOURCE_DIR}/tools/check_isa_leaks)
  add_test(NAME tools.check_isa_leaks COMMAND ${PROJECT_SOURCE_DIR}/tools/check_isa_leaks ${CMAKE_BINARY_DIR})
endif()

# A stranger's project against the installed tree.
add_test(NAME downstream.installed_tree COMMAND ${CMAKE_COMMAND} -DBUILD=${CMAKE_BINARY_DIR}
  -DCXX=${CMAKE_CXX_COMPILER} -DVERSION=${PROJECT_VERSION} -P ${CMAKE_CURRENT_SOURCE_DIR}/downstream/run.cmake)
set_tests_properties(downstream.installed_tree PROPERTIES TIMEOUT 300)

if(TARGET example_own_network)
  add_test(NAME examples.own_network COMMAND example_own_network WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  set_tests_properties(examples.own_network PROPERTIES TIMEOUT 120)
endif()

if(TARGET example_segment_c)
  rarefy_tests(c rarefy_c)
  add_subdirectory(c)
endif()

if(TARGET rarefy_python)
  include(${PROJECT_SOURCE_DIR}/python/tests/tests.cmake)
endif()

add_subdirectory(cli)
