#include "models/common/token_flow.h"

#include <algorithm>
#include <cmath>

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
  const int deciding = (policy.merge > 0) + (policy.keep < 1.0) + (policy.threshold > 0.0) + (policy.spatten < 1.0);
  RAREFY_CHECK(deciding <= 1, UsageError,
               "{}: merge, keep, threshold and spatten exclude each other: one of them decides which tokens go on",
               def.name);
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
  return b_.attention(q, k, v, heads, policy_.proportional ? sizes_ : -1, name);
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
  const bool here = block == blocks_ / 4 || block == blocks_ / 2 || block == blocks_ * 3 / 4;
  if (policy_.threshold > 0.0 && here) return drop_below(x, q, k, heads);
  return policy_.keep < 1.0 && here ? drop(x, q, k, heads, block) : x;
}

ValueId TokenFlow::spread(ValueId x) const {
  for (std::size_t i = merges_.size(); i-- > 0;) x = b_.gather(x, merges_[i]);
  return x;
}

}  // namespace rarefy::models
