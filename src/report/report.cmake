# The report's assets become one C++ file. three.js comes from the distribution and is never part of the sources.
find_file(RAREFY_THREE_JS NAMES three.min.js three.js
  PATHS /usr/share/javascript/three /usr/share/javascript/three/build /usr/share/nodejs/three/build NO_DEFAULT_PATH
  DOC "three.js r111 as a classic script (Debian: libjs-three)")

file(GLOB report_assets CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/report/assets/*)
set(report_list "three.js=${RAREFY_THREE_JS}")
foreach(file IN LISTS report_assets)
  cmake_path(GET file FILENAME name)
  list(APPEND report_list "${name}=${file}")
endforeach()
list(JOIN report_list "|" report_list)
set(report_generated ${CMAKE_BINARY_DIR}/gen/report_assets.cpp)
add_custom_command(OUTPUT ${report_generated}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${report_generated} "-DLIST=${report_list}"
    -P ${CMAKE_CURRENT_SOURCE_DIR}/report/embed.cmake
  DEPENDS ${report_assets} ${CMAKE_CURRENT_SOURCE_DIR}/report/embed.cmake
  COMMENT "Embedding the report's assets" VERBATIM)
target_sources(rarefy_report PRIVATE ${report_generated})
