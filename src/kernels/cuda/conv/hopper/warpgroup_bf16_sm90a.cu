#include "kernels/cuda/conv/hopper/warpgroup.h"

namespace rarefy::cuda::conv_gpu {
namespace {

struct Warpgroup : Bf16 {
  template <int kSums>
  __device__ static void multiply_group(float (&d)[kSums], Operand a, Operand b) {
    multiply_group_bf16(d, a, b);
  }
};

}  // namespace

void warpgroup_bf16(const Conv& conv, int tile, Stream stream) { warpgroups<Warpgroup>(conv, tile, stream); }

}  // namespace rarefy::cuda::conv_gpu
