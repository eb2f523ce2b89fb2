# cmake --install gives find_package(rarefy 0.1): static rarefy::rarefy, shared rarefy::rarefy_shared from the same objects,
# and the layers above the core that were built. Included by src, where they and their dependencies are known.
include(CMakePackageConfigHelpers)
set(rarefy_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rarefy CACHE INTERNAL "")  # c/ and python/ install parts, too

add_library(rarefy_shared SHARED ${core_objects})
add_library(rarefy::rarefy_shared ALIAS rarefy_shared)
target_include_directories(rarefy_shared INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(rarefy_shared PRIVATE $<BUILD_INTERFACE:rarefy_options> $<BUILD_INTERFACE:fmt::fmt>
  $<BUILD_INTERFACE:PkgConfig::HWY> $<BUILD_INTERFACE:Threads::Threads>
  $<BUILD_INTERFACE:$<$<BOOL:${RAREFY_WITH_CUDA}>:CUDA::cudart_static>>)
set_target_properties(rarefy_shared PROPERTIES OUTPUT_NAME rarefy VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
if(NOT RAREFY_SANITIZE)
  target_link_options(rarefy_shared PRIVATE -Wl,--no-undefined)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/rarefy DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# One export set per part: a stranger who wants the shared library needs none of the static one's dependencies.
function(rarefy_install_part part)
  install(TARGETS ${ARGN} EXPORT rarefy_${part} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(EXPORT rarefy_${part} NAMESPACE rarefy:: DESTINATION ${rarefy_config_dir} FILE rarefy-${part}.cmake)
endfunction()
rarefy_install_part(shared rarefy_shared)
rarefy_install_part(static rarefy)
get_target_property(models_type rarefy_models TYPE)
if(NOT models_type STREQUAL INTERFACE_LIBRARY)
  set_target_properties(rarefy_models PROPERTIES EXPORT_NAME models)
  add_library(rarefy::models ALIAS rarefy_models)
  rarefy_install_part(models rarefy_models)
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/rarefyConfig.cmake.in ${CMAKE_BINARY_DIR}/gen/rarefyConfig.cmake
  INSTALL_DESTINATION ${rarefy_config_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/gen/rarefyConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/gen/rarefyConfig.cmake ${CMAKE_BINARY_DIR}/gen/rarefyConfigVersion.cmake
  DESTINATION ${rarefy_config_dir})
