#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef l2_normalize() {
  OpDef op;
  op.name = "l2_normalize";
  op.doc = "Each row divided by its length, so that products of rows are cosines.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"epsilon", 1e-12, "the least length that is divided by"}};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};  // every channel changes every other
  op.infer = [](const InferArgs& args) -> Inferred { return {{require_features(args, 0)}, {}}; };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(
        seed, [](Builder& b, ValueId x, Rng& rng) { return b.l2_normalize(b.linear(x, rng.integer(2, 40))); });
  };
  return op;
}

}  // namespace rarefy::ops
