// Whether products of warpgroups run here. Their kernels are compiled for sm_90a alone, which only devices of compute
// capability 9.0 run; a build whose architectures lack 90 leaves them out.
#include <cuda_runtime_api.h>

#include "kernels/cuda/conv/params.h"
#include "kernels/cuda/error.h"

namespace rarefy::cuda::conv_gpu {

#ifdef RAREFY_WITH_SM90A

bool has_warpgroups() {
  int device = 0, major = 0, minor = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  return major == 9 && minor == 0;
}

#else

bool has_warpgroups() { return false; }
void warpgroup_f16(const Conv&, int, Stream) {}
void warpgroup_bf16(const Conv&, int, Stream) {}

#endif

}  // namespace rarefy::cuda::conv_gpu
