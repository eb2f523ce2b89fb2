#include <algorithm>
#include <vector>

#include "base/check.h"
#include "models/common/image.h"
#include "models/common/image_heads.h"
#include "models/common/mobilenet.h"
#include "models/common/window_flow.h"

namespace rarefy::models {
namespace {

struct Sizes {
  std::int64_t dim, heads, window, patch, hidden, stem;
  std::vector<std::int64_t> depths;
};

Sizes sizes_of(const ModelDef& def, const ModelOptions& o) {
  const auto within = [&](const char* name, std::int64_t least, std::int64_t most) {
    const std::int64_t value = setting(def, o, name);
    RAREFY_CHECK(value >= least && value <= most, UsageError, "swin: {} is {}, expected {} to {}", name, value, least,
                 most);
    return value;
  };
  Sizes s{within("dim", 1, 65536),
          within("heads", 1, 1024),
          within("window", 1, 256),
          within("patch", 1, 1024),
          within("hidden", 1, 64),
          within("stem", 0, 1),
          {}};
  for (const char* name : {"depth1", "depth2", "depth3", "depth4"}) {
    const std::int64_t depth = within(name, 0, 1000);
    if (depth == 0) break;
    s.depths.push_back(depth);
  }
  RAREFY_CHECK(!s.depths.empty(), UsageError, "swin: depth1 is 0, expected at least one block");
  RAREFY_CHECK(s.dim % s.heads == 0, UsageError, "swin: {} channels are not shared evenly by {} heads", s.dim, s.heads);
  return s;
}

/// The network while it is built.
struct Swin {
  Builder& b;
  const Sizes& s;
  TokenGrid grid{};
  FineFeatures fine{};  ///< of the stem, for the dense head

  void embed(ValueId pixels, const ImageExtent& image) {
    if (s.stem == 0) {
      const PatchOptions patch{.height = image.height, .width = image.width, .patch = s.patch, .pad = true};
      grid = {b.linear(b.patches(normalised_image(b, pixels), patch), s.dim, true, "patch_embed.proj"),
              (image.height + s.patch - 1) / s.patch, (image.width + s.patch - 1) / s.patch, s.patch};
    } else {
      const MobileNetOptions stem{.width = 1.0, .norms = false, .prefix = "stem."};
      const MobileNetStem made = mobilenet_stem(b, normalised_image(b, pixels), image.height, image.width, stem);
      fine = {made.stride4.x, made.stride4.height, made.stride4.width, 4};
      grid = {b.linear(made.stride8.x, s.dim, true, "patch_embed.proj"), made.stride8.height, made.stride8.width, 8};
    }
    grid.x = b.layer_norm(grid.x, 1e-5, "patch_embed.norm");
  }

  /// Patches of 2 x 2 tokens become one of twice the channels. Liu et al., section 3.1.
  void merge_patches(const std::string& name) {
    const std::int64_t channels = b.type(grid.x).channels;
    const ValueId four = b.patches(grid.x, {.height = grid.height, .width = grid.width, .patch = 2, .pad = true});
    grid = {b.linear(b.layer_norm(four, 1e-5, name + ".norm"), 2 * channels, false, name + ".reduction"),
            (grid.height + 1) / 2, (grid.width + 1) / 2, 2 * grid.stride};
  }
};

Graph build_swin(const ModelOptions& options);

}  // namespace

ModelDef swin() {
  ModelDef def;
  def.name = "swin";
  def.doc =
      "Swin transformer; the defaults are Swin-T. Input \"image\": pixels [height * width, 3], RGB from 0 to 1; "
      "outputs "
      "by head: \"logits\" per image, or \"labels\" per pixel, or \"heatmap\" and \"boxes\" per cell. Uses classes and "
      "settings. Liu et al., ICCV 2021.";
  def.settings = {{"dim", 96, "channels of the first stage; each stage has twice those of the one before"},
                  {"depth1", 2, "blocks of the first stage"},
                  {"depth2", 2, "blocks of the second stage; 0 = none from here on"},
                  {"depth3", 6, "of the third"},
                  {"depth4", 2, "of the fourth"},
                  {"heads", 3, "of attention in the first stage; twice as many in each that follows"},
                  {"window", 7, "edge of a window in tokens"},
                  {"hidden", 4, "times the channels: width of a block's perceptron"},
                  {"patch", 4, "edge of a patch in pixels"},
                  {"stem", 0, "1 = instead of patches the first convolutions of MobileNetV2, stride 8"}};
  for (auto* add : {+[] { return image_settings(224); }, window_settings, head_settings})
    for (ModelSetting& s : add()) def.settings.push_back(std::move(s));
  def.takes = Takes::image;
  def.build = build_swin;
  return def;
}

namespace {

Graph build_swin(const ModelOptions& options) {
  const ModelDef def = swin();
  const Sizes s = sizes_of(def, options);
  const ImageExtent image = image_extent(def, options);
  const WindowPolicy policy = window_policy(def, options);
  const HeadOptions head = head_options(def, options);
  Builder b;
  Swin net{b, s};
  const ValueId pixels = b.points(3, "image");
  net.embed(pixels, image);
  std::vector<TokenGrid> stages;
  for (std::size_t i = 0; i < s.depths.size(); ++i) {
    const std::string name = "layers." + std::to_string(i);
    if (i > 0) net.merge_patches(name + ".downsample");
    const StageOptions stage{.height = net.grid.height,
                             .width = net.grid.width,
                             .depth = s.depths[i],
                             .heads = s.heads << i,
                             .window = s.window,
                             .hidden = s.hidden,
                             .name = name};
    net.grid.x = window_stage(b, net.grid.x, stage, policy);
    stages.push_back(net.grid);
  }
  add_head(b, {pixels, image, stages, net.fine}, head, options.classes);
  return b.build();
}

}  // namespace
}  // namespace rarefy::models
