#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef match_tokens() {
  OpDef op;
  op.name = "match_tokens";
  op.doc =
      "Which rows of a sample become one: bipartite soft matching of rows at even places with rows at odd ones, by the "
      "cosine of a metric (the keys of an attention). The new rows are those at even places that stay, then those at "
      "odd "
      "ones. Bolya et al., ICLR 2023, section 3.1.";
  op.inputs = {"metric: features", "rows: space"};
  op.outputs = {"merged: space", "merged_of_row: index"};
  op.attributes = {{"remove", std::int64_t{0}, "rows that each sample loses; at most half of those that may go"},
                   {"heads", std::int64_t{1}, "the metric is the mean over so many groups of channels"},
                   {"leading", std::int64_t{0}, "1 = the first row is never merged into another: a class token"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    const ValueType& metric = require_features(args, 0);
    const ValueType& rows = require_kind(args, 1, ValueKind::space);
    require_space(args, 0, rows.space, args.producers[1]);
    (void)require_heads(node, metric.channels, "the metric");
    const std::int64_t remove = node.integer("remove"), leading = node.integer("leading");
    RAREFY_CHECK(remove >= 0 && (leading == 0 || leading == 1), ShapeError,
                 "node '{}' (match_tokens): remove is {}, leading {}; expected at least 0, and 0 or 1", node.name,
                 remove, leading);
    return {{token_space(args.output_ids[0]), index_type(rows.space, args.output_ids[0])}, {}};
  };
  op.macs = [](const CostArgs& args) {
    return args.pairs(args.node.outputs[1]) * args.graph.type(args.node.inputs[0]).channels /
           args.node.integer("heads");
  };
  op.examples = [](std::uint64_t seed) {
    return token_examples(seed, 8, [](Builder& b, ValueId x, Rng& rng) {
      const auto merged =
          b.match_tokens(x, {.remove = rng.integer(0, 8), .heads = rng.integer(1, 2), .leading = rng.integer(0, 1)});
      const ValueId kept = b.linear(b.reduce(b.linear(x, rng.integer(1, 9)), merged.merged_of_row, "sum"), 3);
      return rng.chance(0.5) ? kept : b.gather(kept, merged.merged_of_row);
    });
  };
  return op;
}

}  // namespace rarefy::ops
