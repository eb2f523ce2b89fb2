#include "models/common/token_flow.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace rarefy::models {

std::vector<ModelSetting> token_settings() {
  return {{"merge", 0, "tokens that merge into others in every block (ToMe)"},
          {"keep", 100, "per cent of the tokens that go on at each of three blocks (EViT)"},
          {"scorer", 0, "of keep: attention of the class token (0), of all tokens (1), or a random table (2)"},
          {"threshold", 0,
           "tokens that get more than so many thousandths of the mean attention of all go on (0: see keep)"},
          {"spatten", 100,
           "per cent of the tokens that the last block leaves; attention, summed up over blocks, says which (SpAtten)"},
          {"fuse", 1, "of keep: 1 = what goes becomes one token"},
          {"proportional", 1, "of merge: 1 = attention counts merged tokens by their size"}};
}

std::vector<ModelSetting> predictor_settings() {
  return {
      {"predictor", 100, "per cent of the tokens that a learned predictor keeps at each of three blocks (DynamicViT)"},
      {"masked", 0, "of predictor: 1 = what goes is masked, not removed; the form to train. Outputs \"keep.1\" .."}};
}

TokenPolicy token_policy(const ModelDef& def, const ModelOptions& options) {
  const auto within = [&](const char* name, std::int64_t least, std::int64_t most) {
    const std::int64_t value = setting(def, options, name);
    RAREFY_CHECK(value >= least && value <= most, UsageError, "{}: {} is {}, expected {} to {}", def.name, name, value,
                 least, most);
    return value;
  };
  TokenPolicy policy;
  policy.merge = within("merge", 0, 65536);
  policy.keep = static_cast<double>(within("keep", 1, 100)) / 100.0;
  policy.scorer = static_cast<TokenPolicy::Scorer>(within("scorer", 0, 2));
  policy.threshold = static_cast<double>(within("threshold", 0, 100000)) / 1000.0;
  policy.spatten = static_cast<double>(within("spatten", 1, 100)) / 100.0;
  policy.fuse = within("fuse", 0, 1) != 0;
  policy.proportional = within("proportional", 0, 1) != 0;
  const bool predicts = std::any_of(def.settings.begin(), def.settings.end(),
                                    [](const ModelSetting& s) { return s.name == "predictor"; });
  if (predicts) {
    policy.predictor = static_cast<double>(within("predictor", 1, 100)) / 100.0;
    policy.masked = within("masked", 0, 1) != 0;
  }
  const int deciding = (policy.merge > 0) + (policy.keep < 1.0) + (policy.threshold > 0.0) + (policy.spatten < 1.0) +
                       (policy.predictor < 1.0);
  RAREFY_CHECK(deciding <= 1, UsageError,
               "{}: merge, keep, threshold, spatten and predictor exclude each other: one of them decides which tokens "
               "go on",
               def.name);
  RAREFY_CHECK(!policy.masked || policy.predictor < 1.0, UsageError,
               "{}: masked=1 goes with predictor below 100: there is nothing else to mask", def.name);
  return policy;
}

double cascade_share(std::int64_t block, std::int64_t blocks, double last) {
  const auto dense =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(0.15 * static_cast<double>(blocks))));
  if (block + 1 <= dense && blocks > dense) return 1.0;
  if (blocks <= dense) return last;
  return 1.0 - (1.0 - last) * static_cast<double>(block + 1 - dense) / static_cast<double>(blocks - dense);
}

ValueId TokenFlow::attention(ValueId q, ValueId k, ValueId v, std::int64_t heads, const std::string& name) const {
  return b_.attention(q, k, v, heads, policy_.proportional || policy_.masked ? sizes_ : -1, name);
}

bool TokenFlow::here(std::int64_t block) const {
  return block == blocks_ / 4 || block == blocks_ / 2 || block == blocks_ * 3 / 4;
}

/// Of each token (but the first of a sample, which takes no part: x is without it) log(probability to keep / to drop).
/// Half of the features are its own, half the mean over all that are left. Rao et al., NeurIPS 2021, section 3.2;
/// names as released.
ValueId TokenFlow::margin(ValueId x, std::int64_t stage) {
  const std::string name = "score_predictor." + std::to_string(stage) + ".";
  const std::int64_t channels = b_.type(x).channels;
  RAREFY_CHECK(channels % 4 == 0, UsageError, "predictor: {} channels cannot be halved twice", channels);
  const auto columns = [&](ValueId from, std::int64_t first, std::int64_t count, double scale) {
    std::vector<std::int64_t> which(static_cast<std::size_t>(count));
    std::iota(which.begin(), which.end(), first);
    return b_.select_columns(from, which, std::vector<double>(which.size(), 0.0),
                             std::vector<double>(which.size(), scale));
  };
  const auto layer = [&](ValueId from, std::int64_t count, const char* part) {
    return b_.add("gelu", {b_.linear(from, count, true, name + part)})[0];
  };
  const ValueId y = layer(b_.layer_norm(x, 1e-5, name + "in_conv.0"), channels, "in_conv.1");
  const ValueId own = columns(y, 0, channels / 2, 1.0), shared = columns(y, channels / 2, channels / 2, 1.0);
  ValueId mean = -1;
  if (decision_ < 0) {
    mean = b_.broadcast(b_.global_pool(shared, "mean"), shared);
  } else {  // attention of equal queries and keys is the mean, here of those that are not masked
    const ValueId equal = b_.add("scale", {columns(shared, 0, 1, 1.0)}, {{"alpha", 0.0}})[0];
    mean = b_.attention(equal, equal, shared, 1, decision_, name + "mean");
  }
  const ValueId z = layer(layer(b_.concat({own, mean}), channels / 2, "out_conv.0"), channels / 4, "out_conv.2");
  const ValueId two = b_.linear(z, 2, true, name + "out_conv.4");
  return b_.add_values(columns(two, 0, 1, 1.0), columns(two, 1, 1, -1.0));
}

ValueId TokenFlow::begin(ValueId x, std::int64_t block) {
  if (policy_.predictor >= 1.0 || !here(block)) return x;
  const auto others = b_.select(b_.positions(x));  // all but the first of each sample, whose place is 0
  const ValueId scores = margin(b_.gather(x, others.row_of_kept), stage_++);
  if (!policy_.masked) {
    const double share = std::pow(policy_.predictor, static_cast<double>(stage_));
    // 1e-9: 100 * 0.7 is 70, not what lies just below it.
    const auto count = static_cast<std::int64_t>(static_cast<double>(positions_ - 1) * share + 1e-9);
    const auto kept =
        b_.select_top(b_.gather(scores, others.kept_of_row), {.count = std::max<std::int64_t>(1, count), .leading = 1});
    return b_.gather(x, kept.row_of_kept);
  }
  const ValueId gate = b_.add("hard_gate", {scores}, {}, "score_predictor." + std::to_string(stage_ - 1) + ".gate")[0];
  decision_ = decision_ < 0 ? gate : b_.add("mul", {decision_, gate})[0];
  b_.output("keep." + std::to_string(stage_), decision_);
  sizes_ = b_.gather(decision_, others.kept_of_row, 1.0);  // the first is always attended to
  return x;
}

ValueId TokenFlow::merge(ValueId x, ValueId k, std::int64_t heads) {
  const ValueId index = b_.match_tokens(k, {.remove = policy_.merge, .heads = heads, .leading = 1}).merged_of_row;
  if (sizes_ < 0) {  // each token stands for itself at first: place * 0 + 1
    const ValueId zeros = b_.add("scale", {b_.positions(x)}, {{"alpha", 0.0}})[0];
    sizes_ = b_.select_columns(zeros, {0}, {-1.0}, {1.0});
  }
  x = b_.merge_rows(x, sizes_, index);
  sizes_ = b_.reduce(sizes_, index, "sum");
  merges_.push_back(index);
  return x;
}

ValueId TokenFlow::drop_below(ValueId x, ValueId q, ValueId k, std::int64_t heads) {
  // What all tokens of a sample give sums up to their number: the mean that one gets is 1, whatever the length.
  return b_.gather(x, b_.select(b_.attention_scores(q, k, heads, "all"), policy_.threshold, 1).row_of_kept);
}

ValueId TokenFlow::drop(ValueId x, ValueId q, ValueId k, std::int64_t heads, std::int64_t block) {
  const bool random = policy_.scorer == TokenPolicy::Scorer::random;
  const ValueId scores =
      random ? b_.embedding(b_.positions(x), positions_, 1, "random_scores." + std::to_string(block))
             : b_.attention_scores(q, k, heads, policy_.scorer == TokenPolicy::Scorer::first ? "first" : "all");
  const auto selected = b_.select_top(scores, {.share = policy_.keep, .leading = 1, .fuse = policy_.fuse && !random});
  if (policy_.fuse && !random) return b_.fuse_rows(x, scores, selected);
  return b_.gather(x, selected.row_of_kept);
}

ValueId TokenFlow::cascade(ValueId x, ValueId q, ValueId k, std::int64_t heads, std::int64_t block) {
  const ValueId received = b_.attention_scores(q, k, heads, "all");
  importance_ = importance_ < 0 ? received : b_.add_values(importance_, received);
  const double before = block == 0 ? 1.0 : cascade_share(block - 1, blocks_, policy_.spatten);
  const double now = cascade_share(block, blocks_, policy_.spatten);
  if (now >= before) return x;
  const auto selected = b_.select_top(importance_, {.share = now / before, .leading = 1});
  importance_ = b_.gather(importance_, selected.row_of_kept);
  return b_.gather(x, selected.row_of_kept);
}

ValueId TokenFlow::reduce(ValueId x, ValueId q, ValueId k, std::int64_t heads, std::int64_t block) {
  if (policy_.merge > 0) return merge(x, k, heads);
  if (policy_.spatten < 1.0) return cascade(x, q, k, heads, block);
  if (policy_.threshold > 0.0 && here(block)) return drop_below(x, q, k, heads);
  return policy_.keep < 1.0 && here(block) ? drop(x, q, k, heads, block) : x;
}

ValueId TokenFlow::spread(ValueId x) const {
  for (std::size_t i = merges_.size(); i-- > 0;) x = b_.gather(x, merges_[i]);
  return x;
}

}  // namespace rarefy::models
