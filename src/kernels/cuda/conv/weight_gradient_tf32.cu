#include "kernels/cuda/conv/weight_gradient.h"

namespace rarefy::cuda::conv_gpu {

void weight_gradient_tf32(const WeightGradient& gradient, int tile, Stream stream) {
  weight_gradient<F32>(gradient, tile, stream);
}

}  // namespace rarefy::cuda::conv_gpu
