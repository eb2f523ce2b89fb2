#pragma once
/// Attention heads that matter little are left out of a model: cascade head pruning.
///
/// The importance of a head is the L1 magnitude of what it makes, summed up over rows, inputs and the blocks so far; a
/// head that is gone stays gone in deeper blocks. Source: Wang, Zhang, Han: SpAtten, HPCA 2021, section III-C. There
/// the heads of each input are chosen while it runs. Here they are chosen once for the model, on calibration inputs:
/// then queries, keys, values and the projection behind them are narrower matrices for all rows of a batch, which is
/// what saves time on a CPU; heads chosen per sample would not.
///
/// Heads are first sorted, which leaves the function as it is; what stays are then the first heads of each block, so
/// that pruned models are graphs over views of one store.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rarefy/model.h"
#include "rarefy/session.h"

namespace rarefy::compress {

/// What the heads of one attention made.
struct HeadScores {
  std::string attention;          ///< name of the node
  std::vector<double> magnitude;  ///< by head: mean over all rows of the sum of |.| over its channels
};

/// In the order of the graph, of the attentions whose heads can go: queries, keys and values come from one linear layer
/// each, whose weights nothing else uses, and a linear layer alone reads what attention makes. Scores of attention and
/// the matching of tokens may look at queries and keys, too.
/// @throws UsageError without inputs; UnsupportedError when no attention is such
std::vector<HeadScores> head_magnitudes(const Model& model, const std::vector<Inputs>& inputs,
                                        Executor* executor = nullptr);

/// Which blocks' magnitudes say which heads of a block go.
enum class HeadRule : std::uint8_t {
  cascade,  ///< the sum of those before it; heads that are gone stay gone. SpAtten
  block,    ///< its own: heads of the same number in different blocks are not taken for the same
};

struct DropHeadsOptions {
  double ratio = 0.0;  ///< share of the heads that the last block loses, 0 <= ratio < 1; at least one head stays
  HeadRule rule = HeadRule::cascade;
};

/// By attention: its heads from the most to the least important, and how many of them stay.
struct HeadChoice {
  std::vector<std::int64_t> order;
  std::int64_t keep = 0;
};
/// Nothing goes in the first 30 % of the blocks; then the share that stays falls evenly to 1 - ratio, rounded up.
/// @throws UsageError for a ratio outside [0, 1)
std::map<std::string, HeadChoice> choose_heads(const std::vector<HeadScores>& scores, const DropHeadsOptions& options);

/// The same function with the heads of each attention in the given order.
/// @throws UsageError for an order that is none or an attention whose heads cannot be sorted
Model sort_heads(const Model& model, const std::map<std::string, HeadChoice>& choice);
/// The first heads of each attention alone, over the same store: narrower layers by parameter views.
/// @throws the same, for a number of heads that the attention does not have
Model keep_heads(const Model& sorted, const std::map<std::string, HeadChoice>& choice);
/// Both.
Model drop_heads(const Model& model, const std::map<std::string, HeadChoice>& choice);

}  // namespace rarefy::compress
