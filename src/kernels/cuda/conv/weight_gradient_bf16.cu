#include "kernels/cuda/conv/weight_gradient.h"

namespace rarefy::cuda::conv_gpu {

void weight_gradient_bf16(const WeightGradient& gradient, int tile, Stream stream) {
  weight_gradient<Bf16>(gradient, tile, stream);
}

}  // namespace rarefy::cuda::conv_gpu
