#pragma once
/// What networks over images end in: classes of the image, labels of its pixels, or boxes.
#include <vector>

#include "graph/images/image.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"

namespace rarefy::models {

/// Features of tokens that fill an image, line by line.
struct TokenGrid {
  ValueId x = -1;
  std::int64_t height = 0, width = 0;
  std::int64_t stride = 1;  ///< pixels per token
};
/// Features of a finer grid, or none (x < 0).
using FineFeatures = TokenGrid;

struct HeadOptions {
  enum class Kind : std::uint8_t { classify, segment, detect };
  Kind kind = Kind::classify;
  std::int64_t channels = 128;  ///< of segment and detect
};

/// The settings "head" and "head_dim".
std::vector<ModelSetting> head_settings();
/// @throws UsageError for a value out of range
HeadOptions head_options(const ModelDef& def, const ModelOptions& options);

struct HeadInput {
  ValueId pixels = -1;
  ImageExtent image{};
  std::vector<TokenGrid> stages;  ///< from the finest on; at least one
  FineFeatures fine = {};
};

/// classify: "logits" [images, classes], linear over the mean of the normalised last stage (Liu et al., ICCV 2021).
/// segment: stages brought to a common number of channels and to the finest grid, added up, classified: "logits" per
///          token of that grid, "pixel_logits" and "labels" (uint8) per pixel. All linear, as in SegFormer (Xie et al.,
///          NeurIPS 2021, section 3.2), but a depthwise convolution where there are features of a finer grid.
/// detect: "heatmap" [cells, classes] before the logistic function and "boxes" [cells, 4]: logarithm of width and
/// height
///          in cells, offset of the centre within the cell along x and y. Zhou et al., "Objects as Points", 2019.
/// @throws UsageError for a number of classes below 1
void add_head(Builder& b, const HeadInput& input, const HeadOptions& options, std::int64_t classes);

}  // namespace rarefy::models
