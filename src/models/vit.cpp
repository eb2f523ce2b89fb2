#include "base/check.h"
#include "models/common/token_flow.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"

namespace rarefy::models {
namespace {

struct Sizes {
  std::int64_t dim, depth, heads, image, patch, hidden;
};

Sizes sizes_of(const ModelDef& def, const ModelOptions& o) {
  const Sizes s{setting(def, o, "dim"),   setting(def, o, "depth"), setting(def, o, "heads"),
                setting(def, o, "image"), setting(def, o, "patch"), setting(def, o, "hidden")};
  RAREFY_CHECK(s.dim >= 1 && s.heads >= 1 && s.dim % s.heads == 0, UsageError,
               "vit: {} channels are not shared evenly by {} heads", s.dim, s.heads);
  RAREFY_CHECK(s.depth >= 1 && s.depth <= 1000, UsageError, "vit: depth is {}, expected 1 to 1000", s.depth);
  RAREFY_CHECK(s.patch >= 1 && s.image >= s.patch && s.image % s.patch == 0, UsageError,
               "vit: an image of {} pixels is not filled by patches of {}", s.image, s.patch);
  return s;
}

/// Pre-norm block. Dosovitskiy et al., ICLR 2021, equations 2 and 3. Names are those of timm, but q, k and v apart.
ValueId block(Builder& b, TokenFlow& tokens, ValueId x, const Sizes& s, std::int64_t number) {
  const std::string name = "blocks." + std::to_string(number) + ".";
  x = tokens.begin(x, number);
  const ValueId n = b.layer_norm(x, 1e-6, name + "norm1");
  const ValueId q = b.linear(n, s.dim, true, name + "attn.q"), k = b.linear(n, s.dim, true, name + "attn.k"),
                v = b.linear(n, s.dim, true, name + "attn.v");
  x = b.add_values(b.linear(tokens.attention(q, k, v, s.heads, name + "attn"), s.dim, true, name + "attn.proj"), x);
  x = tokens.reduce(x, q, k, s.heads, number);
  const ValueId hidden = b.linear(b.layer_norm(x, 1e-6, name + "norm2"), s.hidden, true, name + "mlp.fc1");
  return b.add_values(b.linear(b.add("gelu", {hidden})[0], s.dim, true, name + "mlp.fc2"), x);
}

Graph build_vit(const ModelOptions& options);

}  // namespace

ModelDef vit() {
  ModelDef def;
  def.name = "vit";
  def.doc =
      "Vision transformer; the defaults are DeiT-Ti, dim=384 heads=6 hidden=1536 is DeiT-S. Input \"image\": pixels "
      "[height * width, 3], RGB from 0 to 1; output \"logits\" per image. Uses classes and settings. Touvron et al., "
      "ICML "
      "2021.";
  def.settings = {{"dim", 192, "channels"},
                  {"depth", 12, "blocks"},
                  {"heads", 3, "of attention"},
                  {"hidden", 768, "channels between the two layers of a block's perceptron"},
                  {"image", 224, "height and width in pixels"},
                  {"patch", 16, "edge of a patch in pixels"}};
  for (auto* settings : {token_settings, predictor_settings})
    for (ModelSetting& s : settings()) def.settings.push_back(std::move(s));
  def.takes = Takes::image;
  def.build = build_vit;
  return def;
}

namespace {

Graph build_vit(const ModelOptions& options) {
  const ModelDef def = vit();
  const Sizes s = sizes_of(def, options);
  RAREFY_CHECK(options.classes >= 1, UsageError, "vit: {} classes, expected at least 1", options.classes);
  const std::int64_t positions = (s.image / s.patch) * (s.image / s.patch) + 1;
  Builder b;
  TokenFlow tokens(b, token_policy(def, options), s.depth, positions);
  // Mean and standard deviation of ImageNet, as the published networks were trained with.
  const ValueId pixels = b.select_columns(b.points(3, "image"), {0, 1, 2}, {0.485, 0.456, 0.406},
                                          {1 / 0.229, 1 / 0.224, 1 / 0.225}, "normalised");
  const ValueId patches = b.patches(pixels, {.height = s.image, .width = s.image, .patch = s.patch});
  ValueId x = b.class_token(b.linear(patches, s.dim, true, "patch_embed.proj"), "cls_token");
  x = b.add_values(x, b.embedding(b.positions(x), positions, s.dim, "pos_embed"));
  for (std::int64_t i = 0; i < s.depth; ++i) x = block(b, tokens, x, s, i);
  b.output("logits", b.linear(b.layer_norm(b.first_row(x), 1e-6, "norm"), options.classes, true, "head"));
  return b.build();
}

}  // namespace
}  // namespace rarefy::models
