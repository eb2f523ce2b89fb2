#pragma once
/// The convolutions of MobileNetV2: for the network itself, and as the stem of others. Sandler et al., CVPR 2018.
#include <string>

#include "rarefy/builder.h"

namespace rarefy::models {

/// Features of an image while they go through the layers; the grid is known, because all its sites are there.
struct ImageFeatures {
  ValueId x = -1;
  std::int64_t height = 0, width = 0;
};

struct MobileNetOptions {
  double width = 1.0;  ///< factor on all channels, rounded to multiples of 8 as published
  bool norms = true;   ///< false: batch norms are folded into the convolutions, which have biases instead
  std::string prefix;  ///< of the layers' names
};

/// Channels times width, to the next multiple of 8 that is not more than a tenth smaller.
std::int64_t mobile_channels(std::int64_t channels, double width);

/// "features.0" to "features.18" over normalised RGB features of an image. Layers are named as in torchvision. Strides:
/// 2 at 0, 2, 4, 7 and 14. ReLU where the paper has ReLU6.
ImageFeatures mobilenet_features(Builder& b, ValueId image, std::int64_t height, std::int64_t width,
                                 const MobileNetOptions& options);

/// The layers up to stride 8 ("features.0" to "features.6", 32 channels), and what leaves stride 4 (24 channels).
struct MobileNetStem {
  ImageFeatures stride4, stride8;
};
MobileNetStem mobilenet_stem(Builder& b, ValueId image, std::int64_t height, std::int64_t width,
                             const MobileNetOptions& options);

/// RGB from 0 to 1 with the mean and standard deviation of ImageNet taken out.
ValueId normalised_image(Builder& b, ValueId image);

}  // namespace rarefy::models
