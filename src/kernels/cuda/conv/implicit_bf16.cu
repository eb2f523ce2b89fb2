#include "kernels/cuda/conv/implicit.h"

namespace rarefy::cuda::conv_gpu {

void implicit_bf16(const Conv& conv, int tile, Stream stream) { implicit<Bf16>(conv, tile, stream); }

}  // namespace rarefy::cuda::conv_gpu
