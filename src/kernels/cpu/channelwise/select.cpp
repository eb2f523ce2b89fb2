#include "kernels/cpu/channelwise/select.h"

namespace rarefy::channelwise_cpu {

extern const ChannelwiseKernels kChannelwise_portable;
#if defined(__x86_64__)
extern const ChannelwiseKernels kChannelwise_avx2;
extern const ChannelwiseKernels kChannelwise_avx512;
#endif

const ChannelwiseKernels& channelwise_kernels([[maybe_unused]] cpu::Isa isa) {
#if defined(__x86_64__)
  if (isa == cpu::Isa::avx512) return kChannelwise_avx512;
  if (isa == cpu::Isa::avx2) return kChannelwise_avx2;
#endif
  return kChannelwise_portable;
}

}  // namespace rarefy::channelwise_cpu
