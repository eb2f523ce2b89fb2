#include "base/check.h"
#include "models/common/image.h"
#include "models/common/mobilenet.h"

namespace rarefy::models {
namespace {

Graph build_mobilenet(const ModelOptions& options);

}  // namespace

ModelDef mobilenet_v2() {
  ModelDef def;
  def.name = "mobilenet_v2";
  def.doc =
      "MobileNetV2. Input \"image\": pixels [height * width, 3], RGB from 0 to 1; output \"logits\" per image. Uses "
      "width, classes and settings. Sandler et al., CVPR 2018.";
  def.settings = image_settings(224);
  def.settings.push_back({"norms", 1, "1 = batch norms; 0 = they are folded into convolutions with biases"});
  def.takes = Takes::image;
  def.build = build_mobilenet;
  return def;
}

namespace {

Graph build_mobilenet(const ModelOptions& options) {
  const ModelDef def = mobilenet_v2();
  const ImageExtent image = image_extent(def, options);
  const std::int64_t norms = setting(def, options, "norms");
  RAREFY_CHECK(norms == 0 || norms == 1, UsageError, "mobilenet_v2: norms is {}, expected 0 or 1", norms);
  RAREFY_CHECK(options.classes >= 1, UsageError, "mobilenet_v2: {} classes, expected at least 1", options.classes);
  RAREFY_CHECK(options.width > 0.0 && options.width <= 16.0, UsageError,
               "mobilenet_v2: width is {}, expected more than 0, at most 16", options.width);
  Builder b;
  const ValueId pixels = normalised_image(b, b.points(3, "image"));
  const ImageFeatures features = mobilenet_features(b, pixels, image.height, image.width,
                                                    {.width = options.width, .norms = norms == 1, .prefix = ""});
  const ValueId pooled = b.dropout(b.global_pool(features.x, "mean"), 0.2, "classifier.0");
  b.output("logits", b.linear(pooled, options.classes, true, "classifier.1"));
  return b.build();
}

}  // namespace
}  // namespace rarefy::models
