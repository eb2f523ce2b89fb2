#pragma once
/// Checking CUDA calls. Includes nothing that nvcc cannot read: .cu files must not include fmt (base/check.h), whose
/// version 9 it rejects; what formats messages lies in the .cpp beside.
#include <cuda_runtime_api.h>

#include <cstdint>

namespace rarefy::cuda {

/// @throws MemoryError when the device has no memory left, UnsupportedError without a driver or device, else Error; all
/// name the call.
void check(cudaError_t status, const char* what);

/// After a kernel launch.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

/// Blocks of `size` that cover `count`, at least one.
inline unsigned blocks_for(std::int64_t count, std::int64_t size) {
  return count <= 0 ? 1U : static_cast<unsigned>((count + size - 1) / size);
}

}  // namespace rarefy::cuda
