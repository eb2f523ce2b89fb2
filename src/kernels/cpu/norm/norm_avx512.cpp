#include "kernels/cpu/norm/loops.h"

namespace rarefy::norm_cpu {

extern const NormKernels kNorm_avx512;
const NormKernels kNorm_avx512 = make_kernels();

}  // namespace rarefy::norm_cpu
