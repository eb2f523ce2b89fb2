#include "kernels/cuda/conv/element.h"
#include "kernels/cuda/conv/launch.h"

namespace rarefy::cuda::conv_gpu {
namespace {

template <class E>
__global__ void pack_kernel(const Packing p) {
  const std::int64_t plane = static_cast<std::int64_t>(p.in_padded) * p.out_padded, size = plane * p.volume;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const std::int64_t k = i / plane, rest = i - k * plane;
    const int in = static_cast<int>(rest / p.out_padded), out = static_cast<int>(rest) - in * p.out_padded;
    float v = 0.0f;
    if (in < p.in_channels && out < p.out_channels) {
      const std::int64_t from = p.flipped ? p.volume - 1 - k : k;
      v = p.transposed ? p.from[(from * p.out_channels + out) * p.in_channels + in]
                       : p.from[(from * p.in_channels + in) * p.out_channels + out];
    }
    if (p.round_to_tf32) v = __uint_as_float(round_tf32(__float_as_uint(v)));
    static_cast<typename E::Storage*>(p.to)[i] = E::narrow(v);
  }
}

}  // namespace

void pack(const Packing& p, Stream stream) {
  constexpr int kThreads = 256;
  const std::int64_t size = static_cast<std::int64_t>(p.volume) * p.in_padded * p.out_padded;
  const auto kernel = p.element == Element::f16    ? &pack_kernel<F16>
                      : p.element == Element::bf16 ? &pack_kernel<Bf16>
                                                   : &pack_kernel<F32>;
  launch("pack_kernel", kernel, dim3(blocks_for(size, kThreads)), kThreads, 0, stream, p);
}

}  // namespace rarefy::cuda::conv_gpu
