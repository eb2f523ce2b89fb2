#include "graph/example.h"
#include "graph/selection.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef select_top() {
  OpDef op;
  op.name = "select_top";
  op.doc =
      "The rows of each sample with the highest scores, in their old order, as a space of their own; at least one "
      "stays. "
      "Liang et al., ICLR 2022 (with fuse, what goes becomes one more row: see fuse_rows); Wang et al., HPCA 2021. One "
      "threshold for all samples instead of a share: select.";
  op.inputs = {"scores: features", "rows: space"};
  op.outputs = {"kept: space", "row_of_kept: index", "kept_of_row: index"};
  op.attributes = {{"share", 1.0, "of the rows that may go, 0 to 1: so many stay"},
                   {"count", std::int64_t{0}, "not 0: at most so many stay, instead of a share"},
                   {"leading", std::int64_t{0}, "rows at the beginning of each sample that stay and are not counted"},
                   {"rounding", std::string("up"), "\"up\" or \"down\", of share times rows"},
                   {"above", std::vector<double>{}, "not empty: of those, rows with a score above this number"},
                   {"fuse", std::int64_t{0}, "1 = a sample that loses rows gets one more at its end"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    const ValueType& rows = require_kind(args, 1, ValueKind::space);
    require_column(args, 0, rows.space, args.producers[1]);
    const double share = node.number("share");
    RAREFY_CHECK(share >= 0.0 && share <= 1.0, ShapeError, "node '{}' (select_top): share is {}, expected 0 to 1",
                 node.name, share);
    RAREFY_CHECK(node.integer("count") >= 0, ShapeError, "node '{}' (select_top): count is {}, expected at least 0",
                 node.name, node.integer("count"));
    RAREFY_CHECK(node.numbers("above").size() <= 1, ShapeError,
                 "node '{}' (select_top): 'above' has {} numbers, expected one or none", node.name,
                 node.numbers("above").size());
    require_leading(node);
    const std::string& rounding = node.text("rounding");
    RAREFY_CHECK(rounding == "up" || rounding == "down", ShapeError,
                 "node '{}' (select_top): rounding is '{}', known are 'up' and 'down'", node.name, rounding);
    return {selection_types(args, node.integer("fuse") != 0 ? token_space(args.output_ids[0]) : rows), {}};
  };
  op.examples = [](std::uint64_t seed) {
    const auto make = [](Builder& b, ValueId x, Rng& rng) {
      const ValueId scores = b.select_columns(x, {3}, {0.1}, {2.0}), features = b.linear(x, rng.integer(1, 9));
      const auto selected =
          b.select_top(scores, {.share = rng.uniform(0.0, 1.0),
                                .count = rng.chance(0.3) ? rng.integer(1, 9) : 0,
                                .leading = rng.integer(0, 2),
                                .round_up = rng.chance(0.5),
                                .above = rng.chance(0.3) ? std::optional<double>(rng.uniform(-1, 1)) : std::nullopt});
      const ValueId kept = b.linear(b.gather(features, selected.row_of_kept), 3);
      return rng.chance(0.5) ? kept : b.gather(kept, selected.kept_of_row, 0.25);
    };
    auto examples = token_examples(seed, 5, make);
    for (OpExample& e : point_examples(seed, make)) examples.push_back(std::move(e));
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
