#include <utility>

#include "graph/example.h"
#include "graph/selection.h"

namespace rarefy::ops {
OpDef select_best() {
  OpDef op;
  op.name = "select_best";
  op.doc =
      "Of each sample the rows with the highest scores, as a space of their own: a share of its rows, a threshold, or "
      "both. The best row of a sample always stays. Of equal scores the earlier row is the higher one, NaN is the "
      "lowest. The same as select_top with these attributes, by the name that older models have. Chen et al. "
      "(SparseViT), CVPR 2023, section 3.2.";
  op.inputs = {"scores: features", "rows: space"};
  op.outputs = {"kept: space", "row_of_kept: index", "kept_of_row: index"};
  op.attributes = {
      {"share", 1.0, "of the rows of a sample, 0 to 1, rounded up"},
      {"above", std::vector<double>{}, "not empty: of those, rows with a score above this number"},
      {"block", std::int64_t{0}, "equal selections of different blocks stay apart, so that each can change"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    (void)require_features(args, 0);
    const double share = node.number("share");
    RAREFY_CHECK(share >= 0.0 && share <= 1.0, ShapeError, "node '{}' (select_best): share is {}, expected 0 to 1",
                 node.name, share);
    RAREFY_CHECK(node.numbers("above").size() <= 1, ShapeError,
                 "node '{}' (select_best): 'above' has {} numbers, expected one or none", node.name,
                 node.numbers("above").size());
    return {selection_types(args, require_scores(args)), {}};
  };
  op.examples = [](std::uint64_t seed) {
    const auto select = [](Builder& b, ValueId scores, Rng& rng) {
      Attributes how{{"share", rng.chance(0.2) ? 0.0 : rng.uniform(0.0, 1.0)}};
      if (rng.chance(0.4)) how["above"] = std::vector<double>{rng.uniform(-0.5, 1.0)};
      return b.add("select_best", {scores, b.space_of(scores)}, how);
    };
    auto examples = sparse_examples(seed, [&](Builder& b, ValueId x, Rng& rng) {
      const ValueId scores = rng.chance(0.5) ? b.add("magnitude", {x})[0] : b.select_columns(x, {0}, {0.1}, {1.0});
      const auto selected = select(b, scores, rng);
      const ValueId kept = b.gather(b.linear(x, rng.integer(1, 9)), selected[1]);
      if (rng.chance(0.3)) return kept;
      return b.gather(b.conv(kept, {.channels = 4, .kernel = {3}}), selected[2], 0.25);
    });
    for (OpExample& e : point_examples(seed, [&](Builder&b, ValueId points, Rng&rng) {
           const auto selected = select(b, b.select_columns(points, {3}, {0.0}, {1.0}), rng);
           const ValueId kept = b.gather(b.linear(points, 4), selected[1]);
           return b.broadcast(b.global_pool(kept, "max"), kept);
         }))
      examples.push_back(std::move(e));
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
