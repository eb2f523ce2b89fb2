#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef argmax() {
  OpDef op;
  op.name = "argmax";
  op.doc = "Number of the largest channel as uint8; the first of equal ones; NaN counts as smallest.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType y = require_features(args, 0);
    RAREFY_CHECK(y.channels <= 255, ShapeError, "node '{}' (argmax): {} has {} channels, a label holds 0 to 254",
                 args.node.name, args.producers[0], y.channels);
    y.channels = 1;
    y.dtype = Dtype::u8;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed,
                           [](Builder& b, ValueId x, Rng& rng) { return b.argmax(b.linear(x, rng.integer(1, 20))); });
  };
  return op;
}

}  // namespace rarefy::ops
