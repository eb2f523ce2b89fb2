#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef prelu() {
  OpDef op;
  op.name = "prelu";
  op.doc = "x for positive x, weight x otherwise, one weight per channel. He et al., ICCV 2015.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    return {{x}, {{"weight", {x.channels}, ParameterSpec::Init::quarter, 1, true}}};
  };
  op.channels = {{ChannelRule::Flow::shares, 0, "weight", 0}};
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed,
                           [](Builder& b, ValueId x, Rng& rng) { return b.prelu(b.linear(x, rng.integer(1, 20))); });
  };
  return op;
}

}  // namespace rarefy::ops
