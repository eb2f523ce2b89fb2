#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef layer_norm() {
  OpDef op;
  op.name = "layer_norm";
  op.doc = "Normalisation over the channels of each row, then weight and bias per channel. Ba, Kiros, Hinton 2016.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"epsilon", 1e-5, "added to the variance"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    return {{x},
            {{"weight", {x.channels}, ParameterSpec::Init::ones, 1, true},
             {"bias", {x.channels}, ParameterSpec::Init::zeros, 1, true}}};
  };
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};  // every channel changes every other
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(
        seed, [](Builder& b, ValueId x, Rng& rng) { return b.layer_norm(b.linear(x, rng.integer(2, 40))); });
  };
  return op;
}

}  // namespace rarefy::ops
