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

}  // namespace rarefy::models
