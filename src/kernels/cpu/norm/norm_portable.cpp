#include "kernels/cpu/norm/loops.h"

namespace rarefy::norm_cpu {

extern const NormKernels kNorm_portable;
const NormKernels kNorm_portable = make_kernels();

}  // namespace rarefy::norm_cpu
