#pragma once
/// What transformers over tokens share: which tokens go on after the attention of a block, and the way back.
#include <string>
#include <vector>

#include "rarefy/builder.h"
#include "rarefy/models.h"

namespace rarefy::models {

/// Which tokens a network keeps.
struct TokenPolicy {
  enum class Scorer : std::uint8_t { first, all, random };
  std::int64_t merge = 0;  ///< tokens that merge into others after the attention of every block. ToMe, ICLR 2023
  double keep = 1.0;  ///< share of tokens that go on at a quarter, half and three quarters of the blocks. EViT, 2022
  Scorer scorer = Scorer::first;  ///< whose attention says which: the class token's, all tokens'; or a random table
  double threshold = 0.0;         ///< not 0: instead of a share, those that get more attention than this of all tokens
  double spatten = 1.0;      ///< share of the tokens that the last block leaves: cascade pruning. SpAtten, HPCA 2021
  double predictor = 1.0;    ///< share that a learned predictor keeps before each of three blocks. DynamicViT, 2021
  bool masked = false;       ///< of predictor: nothing is removed, what would be is not attended to: the form to train
  bool fuse = true;          ///< those that go become one token, weighted by their attention
  bool proportional = true;  ///< attention counts a merged token as often as it has parts
};

/// The settings "merge", "keep", "spatten" and so on of builders that have a policy.
std::vector<ModelSetting> token_settings();
/// "predictor" and "masked", of builders whose samples all have as many tokens.
std::vector<ModelSetting> predictor_settings();
/// @throws UsageError for a value out of range
TokenPolicy token_policy(const ModelDef& def, const ModelOptions& options);

/// Share of the tokens that cascade pruning leaves after the attention of block `block` (from 0): all in the first 15 %
/// of the blocks (at least one), then falling evenly to `last` at the last block.
double cascade_share(std::int64_t block, std::int64_t blocks, double last);

/// The tokens of a network under construction. The first token of each sample is a class token: it stays.
class TokenFlow {
 public:
  /// @param blocks     of the network
  /// @param positions  most tokens of a sample: rows of the random table
  TokenFlow(Builder& builder, const TokenPolicy& policy, std::int64_t blocks, std::int64_t positions)
      : b_(builder), policy_(policy), blocks_(blocks), positions_(positions) {}

  /// What block `block` (from 0) begins with, of x.
  ValueId begin(ValueId x, std::int64_t block);
  /// Attention of one block, with the sizes of merged tokens.
  ValueId attention(ValueId q, ValueId k, ValueId v, std::int64_t heads, const std::string& name) const;
  /// What goes on of x, which the attention of block `block` (from 0) led to.
  ValueId reduce(ValueId x, ValueId q, ValueId k, std::int64_t heads, std::int64_t block);
  /// Features of merged tokens on every token that became part of them; tokens that were dropped are not brought back.
  ValueId spread(ValueId x) const;

 private:
  ValueId merge(ValueId x, ValueId k, std::int64_t heads);
  ValueId drop_below(ValueId x, ValueId q, ValueId k, std::int64_t heads);
  ValueId drop(ValueId x, ValueId q, ValueId k, std::int64_t heads, std::int64_t block);
  bool here(std::int64_t block) const;
  ValueId margin(ValueId x, std::int64_t stage);
  ValueId cascade(ValueId x, ValueId q, ValueId k, std::int64_t heads, std::int64_t block);

  Builder& b_;
  TokenPolicy policy_;
  std::int64_t blocks_, positions_;
  ValueId sizes_ = -1;           ///< [N, 1] of the tokens now, or -1: one each
  std::int64_t stage_ = 0;       ///< predictors so far
  ValueId decision_ = -1;        ///< masked: 1 for each token (but the first) that goes on, else 0
  std::vector<ValueId> merges_;  ///< indices, the first merge first
  ValueId importance_ = -1;      ///< [N, 1] attention that the tokens now got in all blocks so far, or -1
};

}  // namespace rarefy::models
