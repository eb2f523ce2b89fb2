# Finds the CUDA toolkit and sets RAREFY_WITH_CUDA. Device code is compiled for the architectures below; a GPU newer
# than the last takes the PTX that lies beside it.
#
# RAREFY_CUDA=AUTO builds the GPU kernels where nvcc is found (in the PATH, under CUDACXX or /usr/local/cuda), except
# under sanitizers and with clang, whose host code nvcc does not take.
set(RAREFY_WITH_CUDA OFF)
if(RAREFY_CUDA STREQUAL "OFF" OR (RAREFY_CUDA STREQUAL "AUTO" AND (RAREFY_SANITIZE OR RAREFY_FUZZ OR CMAKE_CROSSCOMPILING)))
  return()
endif()
find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDACXX PATHS /usr/local/cuda/bin)
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)
  if(NOT RAREFY_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "RAREFY_CUDA=${RAREFY_CUDA}, but there is no nvcc: install the CUDA toolkit (12 or newer), or set CUDACXX")
  endif()
  return()
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90" CACHE STRING "Compute capabilities of the device code")
endif()
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25.1 does not know that nvcc has it
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
find_package(CUDAToolkit REQUIRED)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
if(RAREFY_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
set(RAREFY_WITH_CUDA ON)
