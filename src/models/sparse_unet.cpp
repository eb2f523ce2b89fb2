#include "base/check.h"
#include "models/common/layers.h"
#include "models/common/parts.h"
#include "rarefy/models.h"

namespace rarefy::models {
namespace {

std::int64_t positive(const ModelDef& def, const ModelOptions& options, std::string_view name, std::int64_t most) {
  const std::int64_t value = setting(def, options, name);
  RAREFY_CHECK(value >= 1 && value <= most, UsageError, "sparse_unet: {} is {}, expected 1 to {}", name, value, most);
  return value;
}

}  // namespace

/// A U-Net of residual blocks of any depth in 2 to 4 dimensions (as many as the pipeline's voxels have), with channels
/// that grow linearly with the level, as is usual for particle detectors. In two dimensions voxels are made of x and y,
/// in four of x, y, z and the fourth column of the points.
/// Graham et al., CVPR 2018; Domine, Terao, Physical Review D 102, 012005 (2020).
ModelDef sparse_unet() {
  ModelDef def;
  def.name = "sparse_unet";
  def.doc = "A sparse U-Net of any depth in 2 to 4 dimensions. Graham et al., CVPR 2018; Domine, Terao, PRD 2020.";
  def.settings = {{"dims", 3, "axes of the voxels: 2 to 4; the voxel size has as many entries"},
                  {"levels", 5, "resolutions, each half of the one before: 1 to 8"},
                  {"channels", 16, "of the finest level at width 1; level l has (l + 1) times as many"},
                  {"blocks", 2, "residual blocks per level, down and up: 1 to 16"}};
  def.build = [](const ModelOptions& options) {
    const ModelDef self = sparse_unet();
    RAREFY_CHECK(options.width > 0.0 && options.width <= 16.0, UsageError,
                 "sparse_unet: width is {}, expected more than 0, at most 16", options.width);
    const std::size_t dims = options.pipeline.voxel_size.size();
    RAREFY_CHECK(dims >= 2 && dims <= 4, UsageError, "sparse_unet: the pipeline's voxels have {} axes, expected 2 to 4",
                 dims);
    RAREFY_CHECK(
        !options.settings.contains("dims") || setting(self, options, "dims") == static_cast<std::int64_t>(dims),
        UsageError, "sparse_unet: dims is {}, but the pipeline's voxels have {} axes", setting(self, options, "dims"),
        dims);
    const std::int64_t levels = positive(self, options, "levels", 8), blocks = positive(self, options, "blocks", 16);
    const auto base = static_cast<double>(positive(self, options, "channels", 4096));
    const auto channels = [&](std::int64_t level) {
      return std::max<std::int64_t>(1,
                                    static_cast<std::int64_t>(options.width * base * static_cast<double>(level + 1)));
    };
    Builder b;
    Layers net{b};
    const auto residuals = [&](ValueId x, std::int64_t level, const std::string& name) {
      for (std::int64_t i = 1; i <= blocks; ++i) x = net.residual(x, channels(level), fmt::format("{}.res{}", name, i));
      return x;
    };
    const PointInput input = add_point_input(b, options.pipeline);
    ValueId x = net.conv_bn_relu(input.voxel_features, {.channels = channels(0), .kernel = {3}, .name = "stem"});
    std::vector<ValueId> skips;
    for (std::int64_t l = 0; l < levels; ++l) {
      const std::string name = fmt::format("down{}", l);
      if (l > 0) x = net.down(x, channels(l), name);
      x = residuals(x, l, name);
      skips.push_back(x);
    }
    for (std::int64_t l = levels - 2; l >= 0; --l) {
      const std::string name = fmt::format("up{}", l);
      x = residuals(net.up_concat(x, skips[static_cast<std::size_t>(l)], channels(l), name), l, name);
    }
    add_segmentation_output(b, input, b.linear(x, options.classes, true, "classifier"));
    return b.build();
  };
  return def;
}

}  // namespace rarefy::models
