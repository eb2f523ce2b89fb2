#include "base/check.h"
#include "models/common/layers.h"
#include "models/common/parts.h"
#include "rarefy/models.h"

namespace rarefy::models {

/// MinkUNet as in the spvnas code (the "MinkUNet42" of the torchsparse papers): stem, four stages down, four up,
/// block rule, no bias. Channels int(width * c). Choy et al., CVPR 2019; Tang et al., ECCV 2020.
ModelDef minkunet() {
  ModelDef def;
  def.name = "minkunet";
  def.doc =
      "MinkUNet for semantic segmentation of LiDAR scans. Choy et al., CVPR 2019; layers as in Tang et al., ECCV 2020.";
  def.build = [](const ModelOptions& options) {
    const auto [c] = unet_channels(options.width, "minkunet");
    Builder b;
    Layers net{b};
    const PointInput input = add_point_input(b, options.pipeline);
    ValueId x = net.conv_bn_relu(input.voxel_features, {.channels = c[0], .kernel = {3}, .name = "stem.conv1"});
    x = net.conv_bn_relu(x, {.channels = c[0], .kernel = {3}, .name = "stem.conv2"});
    std::vector<ValueId> levels{x};
    for (int s = 1; s <= 4; ++s) {
      const std::string name = fmt::format("down{}", s);
      x = net.down(x, c[s - 1], name);
      x = net.residual(x, c[s], name + ".res1");
      x = net.residual(x, c[s], name + ".res2");
      levels.push_back(x);
    }
    for (int s = 1; s <= 4; ++s) {
      const std::string name = fmt::format("up{}", s);
      x = net.up_concat(x, levels[static_cast<std::size_t>(4 - s)], c[4 + s], name);
      x = net.residual(x, c[4 + s], name + ".res1");
      x = net.residual(x, c[4 + s], name + ".res2");
    }
    add_segmentation_output(b, input, b.linear(x, options.classes, true, "classifier"));
    return b.build();
  };
  return def;
}

}  // namespace rarefy::models
