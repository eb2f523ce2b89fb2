#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/conv/panels.h"

namespace rarefy {

using conv_cpu::Panels;

namespace {

/// One offset: w [in, out] row-major to panels [panel][in][vectors * lanes], zero-padded.
void pack_forward(const Panels& panels, const float* w, std::int64_t in, std::int64_t out, float* packed) {
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const std::int64_t width = panels.vectors_of(p) * panels.lanes;
    const std::int64_t first = panels.first_channel(p);
    const std::int64_t used = std::min(width, out - first);
    float* to = packed + first * in;
    for (std::int64_t c = 0; c < in; ++c, to += width) {
      std::memcpy(to, w + c * out + first, static_cast<std::size_t>(used) * sizeof(float));
      std::memset(to + used, 0, static_cast<std::size_t>(width - used) * sizeof(float));
    }
  }
}

/// One offset: w [out, in] row-major (the stored, forward layer's weights) to panels of its transpose.
void pack_transposed(const Panels& panels, const float* w, std::int64_t in, std::int64_t out, float* packed) {
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const std::int64_t width = panels.vectors_of(p) * panels.lanes;
    const std::int64_t first = panels.first_channel(p);
    float* to = packed + first * in;
    for (std::int64_t j = 0; j < width; ++j) {
      if (first + j < out) {
        const float* from = w + (first + j) * in;
        for (std::int64_t c = 0; c < in; ++c) to[c * width + j] = from[c];
      } else {
        for (std::int64_t c = 0; c < in; ++c) to[c * width + j] = 0.0f;
      }
    }
  }
}

}  // namespace

void pack_weights(const ConvVariant& variant, const float* weights, std::int64_t volume, std::int64_t in_channels,
                  std::int64_t out_channels, WeightOrder order, PackedWeights& out, Executor& executor) {
  RAREFY_CHECK(volume >= 1 && in_channels >= 1 && out_channels >= 1, ShapeError,
               "weights [{}, {}, {}]: every extent must be at least 1", volume, in_channels, out_channels);
  const bool transposed = order != WeightOrder::forward;
  const std::int64_t in = transposed ? out_channels : in_channels;
  const std::int64_t cols = transposed ? in_channels : out_channels;
  const Panels panels(*variant.kernels, cols);
  const std::int64_t size = in * panels.padded_channels();
  float* packed = out.data.reserve_for<float>(volume * size);
  out.volume = volume;
  out.in_channels = in;
  out.out_channels = cols;
  out.variant = &variant;
  executor.parallel_for(volume, [&](std::int64_t k, int) {
    const std::int64_t from = order == WeightOrder::transposed_flipped ? volume - 1 - k : k;
    const float* w = weights + from * in_channels * out_channels;
    if (transposed) {
      pack_transposed(panels, w, in, cols, packed + k * size);
    } else {
      pack_forward(panels, w, in, cols, packed + k * size);
    }
  });
}

}  // namespace rarefy
