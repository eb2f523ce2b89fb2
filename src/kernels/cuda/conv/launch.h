#pragma once
/// Launching a kernel with any dynamic shared memory.
#include <cuda_runtime.h>

#include <type_traits>

#include "kernels/cuda/error.h"

namespace rarefy::cuda::conv_gpu {

template <class... Parameters>
void launch(const char* name, void (*kernel)(Parameters...), dim3 blocks, int threads, int shared_bytes,
            cudaStream_t stream, std::type_identity_t<Parameters>... arguments) {
  constexpr int kUnasked = 48 << 10;  // what a block gets without asking
  const void* function = reinterpret_cast<const void*>(kernel);
  if (shared_bytes > kUnasked)
    check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes), name);
  void* pointers[] = {&arguments...};
  check(cudaLaunchKernel(function, blocks, dim3(static_cast<unsigned>(threads)), pointers,
                         static_cast<std::size_t>(shared_bytes), stream),
        name);
}

}  // namespace rarefy::cuda::conv_gpu
