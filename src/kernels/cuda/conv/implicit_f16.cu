#include "kernels/cuda/conv/implicit.h"

namespace rarefy::cuda::conv_gpu {

void implicit_f16(const Conv& conv, int tile, Stream stream) { implicit<F16>(conv, tile, stream); }

}  // namespace rarefy::cuda::conv_gpu
