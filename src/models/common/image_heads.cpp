#include "models/common/image_heads.h"

#include "base/check.h"

namespace rarefy::models {
namespace {

using Kind = HeadOptions::Kind;

ValueId resized(Builder& b, ValueId x, const TokenGrid& from, ValueId space, std::int64_t height, std::int64_t width) {
  if (from.height == height && from.width == width) return x;
  return b.resize_grid(x, space, {from.height, from.width}, {height, width});
}

/// All stages on the finest grid, with equal channels, added up.
TokenGrid fused(Builder& b, const HeadInput& in, std::int64_t channels) {
  TokenGrid out = in.stages[0];
  const ValueId space = b.space_of(in.stages[0].x);
  ValueId sum = -1;
  for (std::size_t i = 0; i < in.stages.size(); ++i) {
    const std::string name = "head.stages." + std::to_string(i);
    const ValueId x = b.linear(b.layer_norm(in.stages[i].x, 1e-5, name + ".norm"), channels, true, name + ".linear");
    const ValueId here = resized(b, x, in.stages[i], space, out.height, out.width);
    sum = sum < 0 ? here : b.add_values(sum, here);
  }
  out.x = b.add("gelu", {b.layer_norm(sum, 1e-5, "head.norm")})[0];
  if (in.fine.x < 0) return out;
  const ValueId up =
      resized(b, b.linear(out.x, channels, true, "head.up"), out, b.space_of(in.fine.x), in.fine.height, in.fine.width);
  out = in.fine;
  const ValueId joined = b.add("gelu", {b.add_values(up, b.linear(in.fine.x, channels, true, "head.fine"))})[0];
  const ValueId mixed = b.depthwise_conv(joined, {.kernel = {3}, .bias = true, .name = "head.depthwise"});
  out.x = b.add("gelu", {b.layer_norm(b.add_values(mixed, joined), 1e-5, "head.mixed")})[0];
  return out;
}

void segment(Builder& b, const HeadInput& in, std::int64_t channels, std::int64_t classes) {
  const TokenGrid grid = fused(b, in, channels);
  const ValueId logits = b.linear(grid.x, classes, true, "head.classes");
  b.output("logits", logits);
  const ValueId at_pixels = resized(b, logits, grid, b.space_of(in.pixels), in.image.height, in.image.width);
  b.output("pixel_logits", at_pixels);
  b.output("labels", b.argmax(at_pixels));
}

void detect(Builder& b, const HeadInput& in, std::int64_t channels, std::int64_t classes) {
  const TokenGrid grid = fused(b, in, channels);
  const auto branch = [&](const std::string& name, std::int64_t outputs) {
    const ValueId hidden = b.add("gelu", {b.linear(grid.x, channels, true, "head." + name + ".hidden")})[0];
    return b.linear(hidden, outputs, true, "head." + name + ".out");
  };
  b.output("heatmap", branch("heatmap", classes));
  b.output("boxes", branch("boxes", 4));
}

}  // namespace

std::vector<ModelSetting> head_settings() {
  return {{"head", 0, "classes of the image (0), labels of its pixels (1), boxes (2)"},
          {"head_dim", 128, "channels of the heads for pixels and boxes"}};
}

HeadOptions head_options(const ModelDef& def, const ModelOptions& options) {
  const std::int64_t kind = setting(def, options, "head"), channels = setting(def, options, "head_dim");
  RAREFY_CHECK(kind >= 0 && kind <= 2, UsageError, "{}: head is {}, expected 0 to 2", def.name, kind);
  RAREFY_CHECK(channels >= 1 && channels <= 65536, UsageError, "{}: head_dim is {}, expected 1 to 65536", def.name,
               channels);
  return {static_cast<Kind>(kind), channels};
}

void add_head(Builder& b, const HeadInput& in, const HeadOptions& options, std::int64_t classes) {
  const std::int64_t most = options.kind == Kind::segment ? 255 : 65536;  // labels of pixels are bytes
  RAREFY_CHECK(classes >= 1 && classes <= most, UsageError, "{} classes, expected 1 to {}", classes, most);
  if (options.kind == Kind::segment) return segment(b, in, options.channels, classes);
  if (options.kind == Kind::detect) return detect(b, in, options.channels, classes);
  const ValueId mean = b.global_pool(b.layer_norm(in.stages.back().x, 1e-5, "norm"), "mean");
  b.output("logits", b.linear(mean, classes, true, "head.fc"));
}

}  // namespace rarefy::models
