#include "kernels/cuda/conv/on_demand.h"

namespace rarefy::cuda::conv_gpu {

void on_demand_f16(const Conv& conv, Stream stream) { on_demand<F16>(conv, stream); }
void on_demand_bf16(const Conv& conv, Stream stream) { on_demand<Bf16>(conv, stream); }
void on_demand_tf32(const Conv& conv, Stream stream) { on_demand<F32>(conv, stream); }

}  // namespace rarefy::cuda::conv_gpu
