#include "models/common/image.h"

#include "base/check.h"

namespace rarefy::models {

std::vector<ModelSetting> image_settings(std::int64_t side) {
  return {{"image", side, "height and width in pixels"},
          {"height", 0, "in pixels, where it is not \"image\""},
          {"width", 0, "in pixels, where it is not \"image\""}};
}

ImageExtent image_extent(const ModelDef& def, const ModelOptions& options) {
  const std::int64_t side = setting(def, options, "image"), height = setting(def, options, "height"),
                     width = setting(def, options, "width");
  const ImageExtent extent{height == 0 ? side : height, width == 0 ? side : width};
  for (const std::int64_t pixels : {extent.height, extent.width})
    RAREFY_CHECK(pixels >= 1 && pixels <= 32768, UsageError,
                 "{}: an image of {} lines of {} pixels, expected 1 to 32768", def.name, extent.height, extent.width);
  return extent;
}

std::optional<ImageSize> image_size(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    if (node.op != "patches" && node.op != "image_sites") continue;
    const Node& from = graph.producer(node.inputs[0]);
    if (from.op == "input_points" && from.name == "image")
      return ImageSize{node.integer("height"), node.integer("width")};
  }
  return std::nullopt;
}

}  // namespace rarefy::models
