#pragma once
/// How the kernels of a variant cut output channels into panels.
#include "kernels/conv.h"
#include "kernels/cpu/conv/kernels.h"

namespace rarefy::conv_cpu {

/// How `channels` output channels are cut into panels of 1 to max_vectors vectors of nearly equal width.
struct Panels {
  std::int64_t channels;
  int lanes;
  std::int64_t vectors;
  std::int64_t count;

  Panels(int lanes_, int max_vectors, std::int64_t channels_)
      : channels(channels_),
        lanes(lanes_),
        vectors((channels_ + lanes_ - 1) / lanes_),
        count((vectors + max_vectors - 1) / max_vectors) {}
  Panels(const ConvKernels& kernels, std::int64_t channels_) : Panels(kernels.lanes, kernels.max_vectors, channels_) {}

  std::int64_t first_vector(std::int64_t panel) const { return vectors * panel / count; }
  std::int64_t first_channel(std::int64_t panel) const { return first_vector(panel) * lanes; }
  int vectors_of(std::int64_t panel) const { return static_cast<int>(first_vector(panel + 1) - first_vector(panel)); }
  /// Channels of the last vector of the panel.
  int tail_of(std::int64_t panel) const {
    return panel + 1 < count ? lanes : static_cast<int>(channels - (vectors - 1) * lanes);
  }
  std::int64_t padded_channels() const { return vectors * lanes; }
};

}  // namespace rarefy::conv_cpu
