#include <algorithm>

#include "base/check.h"
#include "base/half.h"
#include "kernels/conv_half.h"
#include "kernels/cpu/conv/panels.h"
#include "kernels/cpu/conv_half/kernels.h"

namespace rarefy {
namespace conv_cpu {
#define RAREFY_HALF_VARIANT(isa, proven) extern const ConvKernels kConv_##isa;
#include "kernels/cpu/conv_half/variants.inc"
#undef RAREFY_HALF_VARIANT
}  // namespace conv_cpu
namespace conv_half_cpu {
#define RAREFY_HALF_VARIANT(isa, proven) extern const HalfKernels kHalf_##isa;
#include "kernels/cpu/conv_half/variants.inc"
#undef RAREFY_HALF_VARIANT
}  // namespace conv_half_cpu

namespace {

constexpr HalfVariant kVariants[] = {
#define RAREFY_HALF_VARIANT(isa, proven) \
  {#isa "_half", cpu::Isa::isa, proven, &conv_half_cpu::kHalf_##isa, &conv_cpu::kConv_##isa},
#include "kernels/cpu/conv_half/variants.inc"
#undef RAREFY_HALF_VARIANT
};

/// One offset: w [in, out] row-major to panels [panel][in][vectors * lanes], zero-padded.
void pack_offset(const conv_cpu::Panels& panels, const float* w, std::int64_t in, std::int64_t out, Half* packed) {
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const std::int64_t width = panels.vectors_of(p) * panels.lanes, first = panels.first_channel(p);
    Half* to = packed + first * in;
    for (std::int64_t c = 0; c < in; ++c, to += width)
      for (std::int64_t j = 0; j < width; ++j) to[j] = first + j < out ? narrow(w[c * out + first + j]) : Half{};
  }
}

}  // namespace

std::span<const HalfVariant> half_variants() { return kVariants; }

bool runs_here(const HalfVariant& variant) { return cpu::has(variant.needs); }

const HalfVariant& select_half_variant(cpu::Isa most) {
  for (const HalfVariant& v : kVariants)
    if (v.proven && v.needs <= most && runs_here(v)) return v;
  fail<UnsupportedError>("no proven 16-bit kernel for {} (this CPU: {}, best {})", cpu::name(most), cpu::model_name(),
                         cpu::name(cpu::best_isa()));
}

void pack_half_weights(const HalfVariant& variant, const float* weights, std::int64_t volume, std::int64_t in_channels,
                       std::int64_t out_channels, std::span<const float> factor, HalfWeights& out) {
  RAREFY_CHECK(volume >= 1 && in_channels >= 1 && out_channels >= 1, ShapeError,
               "weights [{}, {}, {}]: every extent must be at least 1", volume, in_channels, out_channels);
  RAREFY_CHECK(factor.empty() || static_cast<std::int64_t>(factor.size()) == out_channels, ShapeError,
               "{} factors for {} output channels", factor.size(), out_channels);
  const conv_cpu::Panels panels(*variant.products, out_channels);
  const std::int64_t size = in_channels * panels.padded_channels();
  Half* packed = out.data.reserve_for<Half>(volume * size);
  out.volume = volume;
  out.in_channels = in_channels;
  out.out_channels = out_channels;
  out.variant = &variant;
  out.factor.assign(static_cast<std::size_t>(panels.padded_channels()), 1.0f);
  std::copy(factor.begin(), factor.end(), out.factor.begin());
  for (std::int64_t k = 0; k < volume; ++k)
    pack_offset(panels, weights + k * in_channels * out_channels, in_channels, out_channels, packed + k * size);
}

}  // namespace rarefy
