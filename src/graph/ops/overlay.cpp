#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef overlay() {
  OpDef op;
  op.name = "overlay";
  op.doc =
      "The rows of z in their places, and the rows of x everywhere else: what was computed on selected rows returns to "
      "all, the others keep what they had.";
  op.inputs = {"x: features", "z: features", "z_of_x: index"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}, {ChannelRule::Flow::shares, 1, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const ValueType& z = require_features(args, 1);
    const ValueType& index = require_kind(args, 2, ValueKind::index);
    require_space(args, 0, index.space, "the index");
    require_space(args, 1, index.target, "the index points into");
    RAREFY_CHECK(x.channels == z.channels, ShapeError, "node '{}' (overlay): {} has {} channels, {} has {}",
                 args.node.name, args.producers[0], x.channels, args.producers[1], z.channels);
    return {{x}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const auto selected = b.select(b.select_columns(x, {0}, {0.1}, {1.0}), rng.uniform(-0.5, 0.5));
      const ValueId all = b.linear(x, rng.integer(1, 20));
      const ValueId kept = b.linear(b.gather(x, selected.row_of_kept), b.type(all).channels);
      return b.add("overlay", {all, kept, selected.kept_of_row})[0];
    });
  };
  return op;
}

}  // namespace rarefy::ops
