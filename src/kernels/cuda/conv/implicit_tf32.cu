#include "kernels/cuda/conv/implicit.h"

namespace rarefy::cuda::conv_gpu {

void implicit_tf32(const Conv& conv, int tile, Stream stream) { implicit<F32>(conv, tile, stream); }

}  // namespace rarefy::cuda::conv_gpu
