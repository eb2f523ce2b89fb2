#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef broadcast() {
  OpDef op;
  op.name = "broadcast";
  op.doc = "The features of each sample on every row of it: the way back from global features.";
  op.inputs = {"x: features", "rows: space"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType y = require_features(args, 0);
    const ValueType& rows = require_kind(args, 1, ValueKind::space);
    y.space = rows.space;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId y = b.linear(x, rng.integer(1, 20));
      return b.broadcast(b.linear(b.global_pool(y, rng.chance(0.5) ? "mean" : "max"), b.type(y).channels), y);
    });
  };
  return op;
}

}  // namespace rarefy::ops
