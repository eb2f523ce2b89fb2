#include "kernels/cuda/conv/element.h"
#include "kernels/cuda/conv/launch.h"

namespace rarefy::cuda::conv_gpu {
namespace {

__device__ inline float weight(const Packing& p, std::int64_t k, int in, int out) {
  if (in >= p.in_channels || out >= p.out_channels) return 0.0f;
  const std::int64_t from = p.flipped ? p.volume - 1 - k : k;
  return p.transposed ? p.from[(from * p.out_channels + out) * p.in_channels + in]
                      : p.from[(from * p.in_channels + in) * p.out_channels + out];
}

template <class E>
__global__ void pack_kernel(const Packing p) {
  const std::int64_t plane = static_cast<std::int64_t>(p.in_padded) * p.out_padded, size = plane * p.volume;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const std::int64_t k = i / plane, rest = i - k * plane;
    const int in = static_cast<int>(rest / p.out_padded), out = static_cast<int>(rest) - in * p.out_padded;
    float v = weight(p, k, in, out);
    if (p.round_to_tf32) v = __uint_as_float(round_tf32(__float_as_uint(v)));
    static_cast<typename E::Storage*>(p.to)[i] = E::narrow(v);
  }
}

template <class E>
__global__ void pack_units_kernel(const Packing p, std::int64_t size) {
  const int units = (p.in_channels + kUnit - 1) / kUnit;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += static_cast<std::int64_t>(gridDim.x) * blockDim.x) {
    const int place = static_cast<int>(i % kUnit);
    const std::int64_t row = i / kUnit, unit = row / p.out_padded, k = unit / units;
    const int out = static_cast<int>(row - unit * p.out_padded), piece = place / 8 ^ (out >> 1 & 3);
    const int in = static_cast<int>(unit - k * units) * kUnit + piece * 8 + place % 8;
    static_cast<typename E::Storage*>(p.units)[i] = E::narrow(weight(p, k, in, out));
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
  if (p.units == nullptr) return;
  const std::int64_t all = std::int64_t{p.volume} * units(p.in_channels) * p.out_padded * kUnit;
  launch("pack_units_kernel", p.element == Element::f16 ? &pack_units_kernel<F16> : &pack_units_kernel<Bf16>,
         dim3(blocks_for(all, kThreads)), kThreads, 0, stream, p, all);
}

}  // namespace rarefy::cuda::conv_gpu
