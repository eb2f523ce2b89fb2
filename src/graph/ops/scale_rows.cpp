#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef scale_rows() {
  OpDef op;
  op.name = "scale_rows";
  op.doc = "Each row of x times a number of its own: what a score lets through of it.";
  op.inputs = {"x: features", "factors: features"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    require_column(args, 1, x.space, args.producers[0]);
    return {{x}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      return b.scale_rows(b.linear(x, rng.integer(1, 40)), b.linear(x, 1, true, "factors"));
    });
  };
  return op;
}

}  // namespace rarefy::ops
