#include "kernels/cpu/attention/loops.h"

namespace rarefy::attention_cpu {

extern const AttentionKernels kAttention_portable;
const AttentionKernels kAttention_portable = make_kernels();

}  // namespace rarefy::attention_cpu
