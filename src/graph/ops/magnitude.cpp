#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef magnitude() {
  OpDef op;
  op.name = "magnitude";
  op.doc =
      "Mean of |x| over the channels of each row: how much a row matters, without anything to learn. Chen et al. "
      "(SparseViT), CVPR 2023, section 3.2.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};  // every channel changes every score
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType y = require_features(args, 0);
    y.channels = 1;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(
        seed, [](Builder& b, ValueId x, Rng& rng) { return b.add("magnitude", {b.linear(x, rng.integer(1, 40))})[0]; });
  };
  return op;
}

}  // namespace rarefy::ops
