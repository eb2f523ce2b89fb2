#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/conv_int8.h"
#include "kernels/cpu/conv/panels.h"
#include "kernels/cpu/conv_int8/kernels.h"

namespace rarefy {
namespace conv_int8_cpu {
#define RAREFY_INT8_VARIANT(variant, needs, vnni, bits) extern const Int8Kernels kInt8_##variant;
#include "kernels/cpu/conv_int8/variants.inc"
#undef RAREFY_INT8_VARIANT
}  // namespace conv_int8_cpu

using conv_cpu::Panels;

namespace {

constexpr Int8Variant kVariants[] = {
#define RAREFY_INT8_VARIANT(variant, needs, vnni, bits) {#variant, needs, vnni, bits, &conv_int8_cpu::kInt8_##variant},
#include "kernels/cpu/conv_int8/variants.inc"
#undef RAREFY_INT8_VARIANT
};

/// One offset: w [in, out] row-major to panels [panel][group of inputs][output][input of the group], zero-padded.
template <class T>
void pack_offset(const Panels& panels, int group, const std::int8_t* w, std::int64_t in, std::int64_t out, T* packed) {
  const std::int64_t groups = (in + group - 1) / group;
  std::fill_n(packed, groups * group * panels.padded_channels(), T{0});
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const std::int64_t width = panels.vectors_of(p) * panels.lanes, first = panels.first_channel(p);
    T* to = packed + first * groups * group;
    for (std::int64_t c = 0; c < in; ++c)
      for (std::int64_t j = 0; j < std::min(width, out - first); ++j)
        to[(c / group * width + j) * group + c % group] = w[c * out + first + j];
  }
}

}  // namespace

std::span<const Int8Variant> int8_variants() { return kVariants; }

bool runs_here(const Int8Variant& variant) {
  return cpu::has(variant.needs) && (!variant.needs_vnni || cpu::features().avx512_vnni);
}

const Int8Variant& select_int8_variant(int bits) {
  RAREFY_CHECK(bits >= 2 && bits <= 8, UsageError, "8-bit kernels take values of 2 to 8 bits, not {}", bits);
  const cpu::Isa allowed = cpu::allowed_isa();
  for (const Int8Variant& v : kVariants)
    if (v.needs <= allowed && runs_here(v) && bits <= v.most_bits) return v;
  fail<UnsupportedError>("no 8-bit kernel for {} (this CPU: {}, best {})", cpu::name(allowed), cpu::model_name(),
                         cpu::name(cpu::best_isa()));
}

void quantize_weights(const float* weights, std::int64_t rows, std::int64_t out_channels, int bits, std::int8_t* values,
                      float* scales) {
  RAREFY_CHECK(bits >= 2 && bits <= 8, UsageError, "weights of 2 to 8 bits, not {}", bits);
  const auto steps = static_cast<float>((1 << (bits - 1)) - 1);
  for (std::int64_t j = 0; j < out_channels; ++j) {
    float largest = 0.0f;
    for (std::int64_t r = 0; r < rows; ++r) largest = std::max(largest, std::abs(weights[r * out_channels + j]));
    scales[j] = largest > 0.0f && std::isfinite(largest) ? largest / steps : 1.0f;
    for (std::int64_t r = 0; r < rows; ++r) {
      const float q = std::nearbyint(weights[r * out_channels + j] / scales[j]);
      values[r * out_channels + j] = static_cast<std::int8_t>(std::clamp(q, -steps, steps));
    }
  }
}

void round_weights(const float* weights, std::int64_t rows, std::int64_t out_channels, int bits, float* rounded) {
  std::vector<std::int8_t> values(static_cast<std::size_t>(rows * out_channels));
  std::vector<float> scales(static_cast<std::size_t>(out_channels));
  quantize_weights(weights, rows, out_channels, bits, values.data(), scales.data());
  for (std::int64_t i = 0; i < rows * out_channels; ++i)
    rounded[i] =
        static_cast<float>(values[static_cast<std::size_t>(i)]) * scales[static_cast<std::size_t>(i % out_channels)];
}

void pack_int8_weights(const Int8Variant& variant, const std::int8_t* weights, std::int64_t volume,
                       std::int64_t in_channels, std::int64_t out_channels, int zero, Int8Weights& out) {
  RAREFY_CHECK(volume >= 1 && in_channels >= 1 && out_channels >= 1, ShapeError,
               "weights [{}, {}, {}]: every extent must be at least 1", volume, in_channels, out_channels);
  constexpr std::int64_t kMostProducts = 65000;  // of 255 x 127 each: what an int32 holds
  RAREFY_CHECK(volume * in_channels <= kMostProducts, UnsupportedError,
               "8-bit weights [{}, {}, {}]: sums of more than {} products may overflow", volume, in_channels,
               out_channels, kMostProducts);
  const auto& kernels = *variant.kernels;
  const Panels panels(kernels.lanes, kernels.max_vectors, out_channels);
  const std::int64_t padded_in = (in_channels + kernels.group - 1) / kernels.group * kernels.group;
  const std::int64_t size = padded_in * panels.padded_channels();
  auto* packed = out.data.reserve_for<std::byte>(volume * size * kernels.weight_bytes);
  out.volume = volume;
  out.in_channels = in_channels;
  out.out_channels = out_channels;
  out.variant = &variant;
  std::int32_t* corrections = nullptr;
  if (zero != 0) {
    corrections = out.corrections.reserve_for<std::int32_t>(volume * panels.padded_channels());
    std::fill_n(corrections, volume * panels.padded_channels(), 0);
  } else {
    out.corrections = AlignedBuffer();
  }
  for (std::int64_t k = 0; k < volume; ++k) {
    const std::int8_t* w = weights + k * in_channels * out_channels;
    if (kernels.weight_bytes == 1) {
      pack_offset(panels, kernels.group, w, in_channels, out_channels,
                  reinterpret_cast<std::int8_t*>(packed) + k * size);
    } else {
      pack_offset(panels, kernels.group, w, in_channels, out_channels,
                  reinterpret_cast<std::int16_t*>(packed) + k * size);
    }
    for (std::int64_t c = 0; corrections != nullptr && c < in_channels; ++c)
      for (std::int64_t j = 0; j < out_channels; ++j)
        corrections[k * panels.padded_channels() + j] -= zero * w[c * out_channels + j];
  }
}

}  // namespace rarefy
