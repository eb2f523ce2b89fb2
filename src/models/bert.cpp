#include "base/check.h"
#include "models/common/token_flow.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"

namespace rarefy::models {
namespace {

struct Sizes {
  std::int64_t dim, depth, heads, hidden, words, positions, types;
};

Sizes sizes_of(const ModelDef& def, const ModelOptions& o) {
  const Sizes s{setting(def, o, "dim"),    setting(def, o, "depth"), setting(def, o, "heads"),
                setting(def, o, "hidden"), setting(def, o, "words"), setting(def, o, "positions"),
                setting(def, o, "types")};
  RAREFY_CHECK(s.dim >= 1 && s.heads >= 1 && s.dim % s.heads == 0, UsageError,
               "bert: {} channels are not shared evenly by {} heads", s.dim, s.heads);
  RAREFY_CHECK(s.depth >= 1 && s.depth <= 1000, UsageError, "bert: depth is {}, expected 1 to 1000", s.depth);
  return s;
}

constexpr double kEpsilon = 1e-12;

/// Post-norm block with the names of Hugging Face.
ValueId block(Builder& b, TokenFlow& tokens, ValueId x, const Sizes& s, std::int64_t number) {
  const std::string name = "encoder.layer." + std::to_string(number) + ".";
  const auto linear = [&](ValueId from, std::int64_t channels, const char* part) {
    return b.linear(from, channels, true, name + part);
  };
  const ValueId q = linear(x, s.dim, "attention.self.query"), k = linear(x, s.dim, "attention.self.key"),
                v = linear(x, s.dim, "attention.self.value");
  const ValueId attended =
      linear(tokens.attention(q, k, v, s.heads, name + "attention.self"), s.dim, "attention.output.dense");
  x = b.layer_norm(b.add_values(attended, x), kEpsilon, name + "attention.output.LayerNorm");
  x = tokens.reduce(x, q, k, s.heads, number);
  const ValueId hidden = b.add("gelu", {linear(x, s.hidden, "intermediate.dense")})[0];
  return b.layer_norm(b.add_values(linear(hidden, s.dim, "output.dense"), x), kEpsilon, name + "output.LayerNorm");
}

Graph build_bert(const ModelOptions& options);

}  // namespace

ModelDef bert() {
  ModelDef def;
  def.name = "bert";
  def.doc =
      "BERT encoder of sentences; the defaults are MiniLM-L6. Input \"tokens\": [N, 2], number of the word and of the "
      "type, per sentence; outputs \"states\" of the tokens that are left and \"sentence\", their mean, of length 1. "
      "Uses "
      "settings. Devlin et al., NAACL 2019; Reimers, Gurevych, EMNLP 2019.";
  def.settings = {{"dim", 384, "channels"},
                  {"depth", 6, "blocks"},
                  {"heads", 12, "of attention"},
                  {"hidden", 1536, "channels between the two layers of a block's perceptron"},
                  {"words", 30522, "of the vocabulary"},
                  {"positions", 512, "most tokens of a sentence"},
                  {"types", 2, "of tokens: first and second sentence"}};
  for (ModelSetting& s : token_settings()) def.settings.push_back(std::move(s));
  def.takes = Takes::tokens;
  def.build = build_bert;
  return def;
}

namespace {

Graph build_bert(const ModelOptions& options) {
  const ModelDef def = bert();
  const Sizes s = sizes_of(def, options);
  Builder b;
  TokenFlow tokens(b, token_policy(def, options), s.depth, s.positions);
  const ValueId given = b.points(2, "tokens");
  const auto column = [&](std::int64_t c, const char* name) { return b.select_columns(given, {c}, {0}, {1}, name); };
  const ValueId words = b.embedding(column(0, "word"), s.words, s.dim, "embeddings.word_embeddings");
  const ValueId types = b.embedding(column(1, "type"), s.types, s.dim, "embeddings.token_type_embeddings");
  const ValueId places = b.embedding(b.positions(given), s.positions, s.dim, "embeddings.position_embeddings");
  ValueId x = b.layer_norm(b.add_values(b.add_values(words, types), places), kEpsilon, "embeddings.LayerNorm");
  for (std::int64_t i = 0; i < s.depth; ++i) x = block(b, tokens, x, s, i);
  b.output("sentence", b.l2_normalize(b.global_pool(tokens.spread(x), "mean")));
  b.output("states", x);
  return b.build();
}

}  // namespace
}  // namespace rarefy::models
