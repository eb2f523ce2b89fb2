#include "kernels/cpu/attention/blocks.h"

namespace rarefy::attention_cpu {

extern const AttentionKernels kAttention_portable;
#if defined(__x86_64__)
extern const AttentionKernels kAttention_avx2;
extern const AttentionKernels kAttention_avx512;
#endif

const AttentionKernels& attention_kernels([[maybe_unused]] cpu::Isa isa) {
#if defined(__x86_64__)
  if (isa == cpu::Isa::avx512) return kAttention_avx512;
  if (isa == cpu::Isa::avx2) return kAttention_avx2;
#endif
  return kAttention_portable;
}

}  // namespace rarefy::attention_cpu
