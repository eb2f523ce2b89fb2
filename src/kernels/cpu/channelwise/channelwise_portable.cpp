#include "kernels/cpu/channelwise/loops.h"

namespace rarefy::channelwise_cpu {

extern const ChannelwiseKernels kChannelwise_portable;
const ChannelwiseKernels kChannelwise_portable = make_kernels();

}  // namespace rarefy::channelwise_cpu
