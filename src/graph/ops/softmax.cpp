#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef softmax() {
  OpDef op;
  op.name = "softmax";
  op.doc = "exp(x) / sum of exp(x) over the channels of a row.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};  // every channel changes every other
  op.infer = [](const InferArgs& args) -> Inferred { return {{require_features(args, 0)}, {}}; };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed,
                           [](Builder& b, ValueId x, Rng& rng) { return b.softmax(b.linear(x, rng.integer(1, 20))); });
  };
  return op;
}

}  // namespace rarefy::ops
