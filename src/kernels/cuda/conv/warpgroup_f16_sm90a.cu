#include "kernels/cuda/conv/warpgroup.h"

namespace rarefy::cuda::conv_gpu {
namespace {

struct Operand : F16 {
  template <int kSums>
  __device__ static void multiply_group(float (&d)[kSums], std::uint64_t a, std::uint64_t b) {
    multiply_group_f16(d, a, b);
  }
};

}  // namespace

void warpgroup_f16(const Conv& conv, int tile, Stream stream) { warpgroups<Operand>(conv, tile, stream); }

}  // namespace rarefy::cuda::conv_gpu
