#include "kernels/cpu/channelwise/loops.h"

namespace rarefy::channelwise_cpu {

extern const ChannelwiseKernels kChannelwise_avx2;
const ChannelwiseKernels kChannelwise_avx2 = make_kernels();

}  // namespace rarefy::channelwise_cpu
