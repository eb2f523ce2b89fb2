#include "models/common/window_flow.h"

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace rarefy::models {
namespace {

using Scorer = WindowPolicy::Scorer;

/// One of the two ways in which a stage cuts its grid.
struct Cut {
  WindowOptions options;
  Builder::Windows windows;
  ValueId scores = -1;  ///< [windows, 1], where windows are selected
};

struct Stage {
  Builder& b;
  const StageOptions& o;
  const WindowPolicy& policy;
  ValueId tokens;        ///< space
  ValueId factors = -1;  ///< [tokens, 1]: what a window gains is multiplied by it, or -1
  std::optional<Cut> cuts[2] = {};

  std::string block_name(std::int64_t block) const { return o.name + ".blocks." + std::to_string(block); }

  Cut& cut(bool shifted) {
    auto& made = cuts[shifted ? 1 : 0];
    if (!made) {
      const WindowOptions options{o.height, o.width, o.window, shifted ? o.window / 2 : 0};
      made = Cut{options, b.windows(tokens, options)};
    }
    return *made;
  }

  /// One number per token, the same for both cuts.
  ValueId token_scores(ValueId x) {
    switch (policy.scorer) {
      case Scorer::none:
        break;
      case Scorer::magnitude: {
        const ValueId mean = b.add("magnitude", {x})[0];
        return b.add("mul", {mean, mean})[0];  // their sum orders windows as the length of the vector does
      }
      case Scorer::random:
        return b.embedding(b.positions(x), o.height * o.width, 1, o.name + ".random_scores");
      case Scorer::learned: {
        const std::int64_t channels = std::max<std::int64_t>(8, b.type(x).channels / 4);
        const ValueId hidden =
            b.linear(b.layer_norm(x, 1e-5, o.name + ".score.norm"), channels, true, o.name + ".score.fc1");
        return b.linear(b.add("gelu", {hidden})[0], 1, true, o.name + ".score.fc2");
      }
    }
    return -1;
  }

  /// Scores of the windows of both cuts from the features that the first block which may be skipped reads.
  void score(ValueId x) {
    const ValueId scores = token_scores(x);
    for (const bool shifted : {false, true}) {
      Cut& c = cut(shifted);
      c.scores = b.reduce(scores, c.windows.window_of_token, policy.scorer == Scorer::magnitude ? "sum" : "mean");
    }
    // Twice the logistic function: at a score of 0 a block does what it did before it could be skipped.
    if (policy.scorer == Scorer::learned)
      factors = b.add("scale", {b.add("sigmoid", {scores})[0]}, {{"alpha", 2.0}})[0];
  }

  /// What a block adds to the tokens of windows, in the order of `rows`.
  ValueId layers(ValueId x, const Builder::WindowRows& rows, const Cut& c, std::int64_t block) {
    const std::string name = block_name(block);
    const std::int64_t channels = b.type(x).channels;
    const ValueId n = b.layer_norm(x, 1e-5, name + ".norm1");
    const ValueId q = b.linear(n, channels, true, name + ".attn.q"), k = b.linear(n, channels, true, name + ".attn.k"),
                  v = b.linear(n, channels, true, name + ".attn.v");
    const ValueId attended = b.window_attention(q, k, v, rows.token_of_row, o.heads, c.options, name + ".attn");
    x = add_scaled(b.linear(attended, channels, true, name + ".attn.proj"), x, rows);
    const ValueId hidden =
        b.linear(b.layer_norm(x, 1e-5, name + ".norm2"), o.hidden * channels, true, name + ".mlp.fc1");
    return add_scaled(b.linear(b.add("gelu", {hidden})[0], channels, true, name + ".mlp.fc2"), x, rows);
  }

  ValueId add_scaled(ValueId gain, ValueId x, const Builder::WindowRows& rows) {
    if (factors >= 0) gain = b.scale_rows(gain, b.gather(factors, rows.token_of_row));
    return b.add_values(gain, x);
  }

  ValueId block(ValueId x, std::int64_t number) {
    Cut& c = cut(number % 2 == 1);
    const bool may_skip = policy.scorer != Scorer::none && number >= policy.dense;
    if (!may_skip) {
      const auto rows = b.window_rows(tokens, c.windows.space, c.options);
      return b.gather(layers(b.gather(x, rows.token_of_row), rows, c, number), rows.row_of_token);
    }
    if (c.scores < 0) score(x);
    const auto selected = b.add("select_best", {c.scores, c.windows.space},
                                {{"share", 1.0 - policy.drop}, {"block", number + 1}}, block_name(number) + ".kept");
    const auto rows = b.window_rows(tokens, c.windows.space, c.options, selected[1]);
    const ValueId made = layers(b.gather(x, rows.token_of_row), rows, c, number);
    const ValueId below =
        policy.light ? b.add_values(b.linear(x, b.type(x).channels, true, block_name(number) + ".light"), x) : x;
    return b.add("overlay", {below, made, rows.row_of_token})[0];
  }
};

}  // namespace

std::vector<ModelSetting> window_settings() {
  return {{"select", 0,
           "which windows go through a block: all (0), those of largest magnitude (1: SparseViT), random "
           "ones (2), those of highest learned score (3)"},
          {"drop", 0, "of select: per cent of the windows that skip each block"},
          {"dense_blocks", 0, "of select: so many blocks at the beginning of a stage are never skipped"},
          {"light", 0, "of select: 1 = windows that skip a block go through a linear layer instead"}};
}

WindowPolicy window_policy(const ModelDef& def, const ModelOptions& options) {
  const auto within = [&](const char* name, std::int64_t most) {
    const std::int64_t value = setting(def, options, name);
    RAREFY_CHECK(value >= 0 && value <= most, UsageError, "{}: {} is {}, expected 0 to {}", def.name, name, value,
                 most);
    return value;
  };
  WindowPolicy policy;
  policy.scorer = static_cast<Scorer>(within("select", 3));
  policy.drop = static_cast<double>(within("drop", 99)) / 100.0;
  policy.dense = within("dense_blocks", 100);
  policy.light = within("light", 1) != 0;
  RAREFY_CHECK(policy.scorer != Scorer::none || (policy.drop == 0.0 && !policy.light), UsageError,
               "{}: drop and light need select, which says what windows are chosen by", def.name);
  return policy;
}

ValueId window_stage(Builder& b, ValueId x, const StageOptions& stage, const WindowPolicy& policy) {
  Stage s{b, stage, policy, b.space_of(x)};
  for (std::int64_t block = 0; block < stage.depth; ++block) x = s.block(x, block);
  return x;
}

}  // namespace rarefy::models
