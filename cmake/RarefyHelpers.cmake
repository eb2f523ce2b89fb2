# Folder = list: sources are found by glob; the file's suffix chooses its instruction set.

add_library(rarefy_options INTERFACE)
target_compile_options(rarefy_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-unused-parameter;-Wno-missing-field-initializers>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall;-Wno-deprecated-gpu-targets;--expt-relaxed-constexpr;--extended-lambda;-diag-suppress=554>)
if(RAREFY_WERROR)
  target_compile_options(rarefy_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror> $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()
if(RAREFY_SANITIZE STREQUAL "address")
  target_compile_options(rarefy_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(rarefy_options INTERFACE -fsanitize=address,undefined)
elseif(RAREFY_SANITIZE STREQUAL "thread")
  target_compile_options(rarefy_options INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(rarefy_options INTERFACE -fsanitize=thread)
endif()

# Files named *_avx2.cpp, *_avx512.cpp, ... are compiled for that instruction set and must include only
# <immintrin.h>, <cstdint>, <cstddef> and their contract header: inline functions of other headers would leak
# the instruction set into code that every CPU runs.
function(rarefy_set_isa_flags)
  foreach(source IN LISTS ARGN)
    set(flags)
    if(source MATCHES "_avx2\\.cpp$")
      set(flags -mavx2 -mfma -mf16c)
    elseif(source MATCHES "_avx512(vnni)?\\.cpp$")
      set(flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)
      if(CMAKE_MATCH_1)
        list(APPEND flags -mavx512vnni)
      endif()
    endif()
    # Integer kernels promise the same bits from every variant: a product and a sum must not become one operation.
    if(source MATCHES "/conv_int8/")
      list(APPEND flags -ffp-contract=off)
    endif()
    if(flags)
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${flags}")
    endif()
  endforeach()
endfunction()

# rarefy_op_list(<folder> <macro> <output>): writes MACRO(stem) for every .cpp of the folder to build/gen/<output>.
function(rarefy_op_list folder macro output)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.cpp)
  set(text "// One line per file of the folder; the stem is the name.\n")
  foreach(file IN LISTS files)
    cmake_path(GET file STEM stem)
    string(APPEND text "${macro}(${stem})\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/gen/${output} CONTENT "${text}" @ONLY)
endfunction()
