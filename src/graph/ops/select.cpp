#include "graph/example.h"
#include "graph/selection.h"

namespace rarefy::ops {

OpDef select() {
  OpDef op;
  op.name = "select";
  op.doc =
      "The rows whose score is above a threshold, as a space of their own: pruning. What follows on that space runs "
      "after the scores are known. Gwak, Choy, Savarese, ECCV 2020, section 3.3.";
  op.inputs = {"scores: features", "rows: space"};
  op.outputs = {"kept: space", "row_of_kept: index", "kept_of_row: index"};
  op.attributes = {{"threshold", 0.0, "rows with a score above it stay; NaN does not"},
                   {"leading", std::int64_t{0}, "rows at the beginning of each sample that stay in any case"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    const ValueType &rows = require_scores(args), &scores = args.inputs[0];
    RAREFY_CHECK(scores.dtype == Dtype::f32 || scores.dtype == Dtype::u8, ShapeError,
                 "node '{}' (select): {} is {}, served are f32 and u8", node.name, args.producers[0],
                 name(scores.dtype));
    require_leading(node);
    return {selection_types(args, rows), {}};
  };
  op.examples = [](std::uint64_t seed) {
    auto examples = sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const bool mask = rng.chance(0.3);
      const ValueId scores = mask ? b.argmax(x) : b.select_columns(x, {0}, {0.1}, {1.0});
      const ValueId features = b.linear(x, rng.integer(1, 9));
      if (rng.chance(0.4)) return b.prune(features, scores, rng.uniform(-0.5, 0.5));
      const auto selected = b.select(scores, rng.uniform(-0.5, 0.5), rng.chance(0.3) ? rng.integer(1, 3) : 0);
      const ValueId kept = b.gather(features, selected.row_of_kept);
      if (rng.chance(0.3)) return b.conv(kept, {.channels = 3, .kernel = {2}, .stride = {2}});
      return b.gather(b.conv(kept, {.channels = 4, .kernel = {3}}), selected.kept_of_row, 0.25);
    });
    for (OpExample& e : point_examples(seed, [](Builder&b, ValueId points, Rng&) {
           const ValueId kept = b.prune(b.linear(points, 4), b.select_columns(points, {3}, {0.0}, {1.0}), 0.0);
           return b.broadcast(b.global_pool(kept, "max"), kept);
         }))
      examples.push_back(std::move(e));
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
