#include <cmath>

#include "base/check.h"
#include "models/common/parts.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"

namespace rarefy::models {
namespace {

/// Channels of the published network at width 1: stem, four encoder stages, four decoder stages.
constexpr std::int64_t kChannels[] = {32, 32, 64, 128, 256, 256, 128, 96, 96};

struct Net {
  Builder& b;

  ValueId conv_bn(ValueId x, const ConvOptions& options) {
    const ValueId y = b.conv(x, options);
    return b.batch_norm(y, 1e-5, 0.1, options.name + ".bn");
  }
  ValueId conv_bn_relu(ValueId x, const ConvOptions& options) { return b.relu(conv_bn(x, options)); }

  /// Two 3x3x3 convolutions around a shortcut (1x1x1 where the channels change).
  ValueId residual(ValueId x, std::int64_t channels, const std::string& name) {
    const ValueId first = conv_bn_relu(x, {.channels = channels, .kernel = {3}, .name = name + ".conv1"});
    const ValueId second = conv_bn(first, {.channels = channels, .kernel = {3}, .name = name + ".conv2"});
    const ValueId shortcut = b.type(x).channels == channels
                                 ? x
                                 : conv_bn(x, {.channels = channels, .kernel = {1}, .name = name + ".shortcut"});
    return b.relu(b.add_values(second, shortcut));
  }
};

}  // namespace

/// MinkUNet as in the spvnas code (the "MinkUNet42" of the torchsparse papers): stem, four stages down, four up,
/// block rule, no bias. Channels int(width * c). Choy et al., CVPR 2019; Tang et al., ECCV 2020.
ModelDef minkunet() {
  ModelDef def;
  def.name = "minkunet";
  def.doc =
      "MinkUNet for semantic segmentation of LiDAR scans. Choy et al., CVPR 2019; layers as in Tang et al., ECCV 2020.";
  def.build = [](const ModelOptions& options) {
    RAREFY_CHECK(options.width > 0.0 && options.width <= 16.0, UsageError,
                 "minkunet: width is {}, expected more than 0, at most 16", options.width);
    std::int64_t c[9];
    for (int i = 0; i < 9; ++i)
      c[i] = std::max<std::int64_t>(
          1, static_cast<std::int64_t>(std::floor(options.width * static_cast<double>(kChannels[i]))));
    Builder b;
    Net net{b};
    const PointInput input = add_point_input(b, options.pipeline);
    ValueId x = net.conv_bn_relu(input.voxel_features, {.channels = c[0], .kernel = {3}, .name = "stem.conv1"});
    x = net.conv_bn_relu(x, {.channels = c[0], .kernel = {3}, .name = "stem.conv2"});
    std::vector<ValueId> levels{x};
    for (int s = 1; s <= 4; ++s) {
      const std::string name = fmt::format("down{}", s);
      x = net.conv_bn_relu(x, {.channels = c[s - 1], .kernel = {2}, .stride = {2}, .name = name + ".conv"});
      x = net.residual(x, c[s], name + ".res1");
      x = net.residual(x, c[s], name + ".res2");
      levels.push_back(x);
    }
    for (int s = 1; s <= 4; ++s) {
      const std::string name = fmt::format("up{}", s);
      const ValueId skip = levels[static_cast<std::size_t>(4 - s)];
      const ValueId up =
          b.conv_transposed(x, skip, {.channels = c[4 + s], .kernel = {2}, .stride = {2}, .name = name + ".conv"});
      x = b.concat({b.relu(b.batch_norm(up, 1e-5, 0.1, name + ".conv.bn")), skip});
      x = net.residual(x, c[4 + s], name + ".res1");
      x = net.residual(x, c[4 + s], name + ".res2");
    }
    add_segmentation_output(b, input, b.linear(x, options.classes, true, "classifier"));
    return b.build();
  };
  return def;
}

}  // namespace rarefy::models
