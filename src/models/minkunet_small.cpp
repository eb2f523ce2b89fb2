#include "base/check.h"
#include "models/common/parts.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"

namespace rarefy::models {

/// A U-Net of three levels without residual blocks: for demos and tests, not for accuracy.
ModelDef minkunet_small() {
  ModelDef def;
  def.name = "minkunet_small";
  def.doc = "A small sparse U-Net of three levels, for demos and quick tests.";
  def.build = [](const ModelOptions& options) {
    RAREFY_CHECK(options.width > 0.0 && options.width <= 16.0, UsageError,
                 "minkunet_small: width is {}, expected more than 0, at most 16", options.width);
    const auto channels = [&](double c) {
      return std::max<std::int64_t>(1, static_cast<std::int64_t>(options.width * c));
    };
    Builder b;
    const auto layer = [&b](ValueId y, const std::string& name) {
      return b.relu(b.batch_norm(y, 1e-5, 0.1, name + ".bn"));
    };
    const PointInput input = add_point_input(b, options.pipeline);
    const auto conv = [&](ValueId x, double c, const std::string& name) {
      return layer(b.conv(x, {.channels = channels(c), .kernel = {3}, .name = name}), name);
    };
    const auto down = [&](ValueId x, double c, const std::string& name) {
      return layer(b.conv(x, {.channels = channels(c), .kernel = {2}, .stride = {2}, .name = name}), name);
    };
    const auto up = [&](ValueId x, ValueId skip, double c, const std::string& name) {
      const ValueId y =
          b.conv_transposed(x, skip, {.channels = channels(c), .kernel = {2}, .stride = {2}, .name = name});
      return b.concat({layer(y, name), skip});
    };
    const ValueId x0 = conv(input.voxel_features, 16, "stem");
    const ValueId x1 = conv(down(x0, 16, "down1"), 32, "enc1");
    const ValueId x2 = conv(down(x1, 32, "down2"), 64, "enc2");
    const ValueId y1 = conv(up(x2, x1, 32, "up1"), 32, "dec1");
    const ValueId y0 = conv(up(y1, x0, 32, "up2"), 32, "dec2");
    add_segmentation_output(b, input, b.linear(y0, options.classes, true, "classifier"));
    return b.build();
  };
  return def;
}

}  // namespace rarefy::models
