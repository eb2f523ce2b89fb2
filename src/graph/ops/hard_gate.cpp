#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef hard_gate() {
  OpDef op;
  op.name = "hard_gate";
  op.doc =
      "1 where x > 0, else 0. Its gradient is that of sigmoid(x / temperature) (straight-through). In training, with "
      "noise, logistic noise is added to x first: for x = log(p / (1 - p)) the gate is 1 with probability p, a hard "
      "Gumbel-softmax of two classes; a function of seed, step, node name and element. Jang, Gu, Poole, ICLR 2017.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"noise", std::int64_t{1}, "1 = with noise in training"},
                   {"temperature", 1.0, "of the gradient: above 0"}};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const double temperature = args.node.number("temperature");
    RAREFY_CHECK(temperature > 0.0, ShapeError, "node '{}' (hard_gate): temperature is {}, expected more than 0",
                 args.node.name, temperature);
    return {{require_features(args, 0)}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId y = b.linear(x, rng.integer(1, 20));
      return b.add("hard_gate", {y}, {{"noise", rng.integer(0, 1)}, {"temperature", rng.uniform(0.5, 2.0)}})[0];
    });
  };
  return op;
}

}  // namespace rarefy::ops
