#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef fuse_rows() {
  OpDef op;
  op.name = "fuse_rows";
  op.doc =
      "Features of the rows that select_top keeps, and in the row that stands for the others of a sample their sum, "
      "each "
      "times its weight (their attention). Liang et al., ICLR 2022, section 3.2.";
  op.inputs = {"x: features", "weights: features", "row_of_kept: index", "kept_of_row: index"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    require_column(args, 1, x.space, args.producers[0]);
    const ValueType &kept = require_kind(args, 2, ValueKind::index), &place = require_kind(args, 3, ValueKind::index);
    require_space(args, 0, kept.target, "the rows that stay come from");
    RAREFY_CHECK(place.space == kept.target && place.target == kept.space, ShapeError,
                 "node '{}' (fuse_rows): {} and {} are not the two indices of one selection", args.node.name,
                 args.producers[2], args.producers[3]);
    ValueType y = x;
    y.space = kept.space;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return token_examples(seed, 5, [](Builder& b, ValueId x, Rng& rng) {
      const auto selected = b.select_top(b.select_columns(x, {3}, {0.1}, {2.0}),
                                         {.share = rng.uniform(0.0, 1.0), .leading = rng.integer(0, 1), .fuse = true});
      const ValueId weights = b.add("sigmoid", {b.linear(x, 1, true, "weights")})[0];
      return b.fuse_rows(b.linear(x, rng.integer(1, 9), true, "features"), weights, selected);
    });
  };
  return op;
}

}  // namespace rarefy::ops
