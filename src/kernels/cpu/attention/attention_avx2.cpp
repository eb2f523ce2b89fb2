#include "kernels/cpu/attention/loops.h"

namespace rarefy::attention_cpu {

extern const AttentionKernels kAttention_avx2;
const AttentionKernels kAttention_avx2 = make_kernels();

}  // namespace rarefy::attention_cpu
