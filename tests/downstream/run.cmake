# Installs BUILD into a fresh prefix, builds the stranger's project against it, runs what it made.
set(work ${BUILD}/downstream)
file(REMOVE_RECURSE ${work})
function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed (${status}):\n${output}")
  endif()
endfunction()

run("installing" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)
file(GLOB_RECURSE installed LIST_DIRECTORIES false RELATIVE ${work}/prefix ${work}/prefix/*)
list(JOIN installed "\n  " listing)
message(STATUS "installed:\n  ${listing}")
foreach(wanted librarefy.a librarefy.so librarefy.so.0.1 rarefyConfig.cmake LICENSE NOTICE include/rarefy/tensor.h)
  if(NOT listing MATCHES "${wanted}")
    message(FATAL_ERROR "${wanted} was not installed")
  endif()
endforeach()
file(STRINGS ${work}/prefix/lib/cmake/rarefy/rarefyConfig.cmake mentions REGEX "${BUILD}")
if(mentions)
  message(FATAL_ERROR "the installed configuration names the build folder: ${mentions}")
endif()

run("configuring" ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/build -G Ninja -DCMAKE_CXX_COMPILER=${CXX}
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${work}/prefix -DWANTED=${VERSION})
run("building" ${CMAKE_COMMAND} --build ${work}/build)
foreach(program static_user shared_user)
  run(${program} ${work}/build/${program})
endforeach()

# The next minor version may break what 0.x promises, so asking for it must fail.
execute_process(COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/newer -G Ninja
  -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_PREFIX_PATH=${work}/prefix -DWANTED=0.2 RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
if(status EQUAL 0)
  message(FATAL_ERROR "version ${VERSION} answered a request for 0.2")
endif()
