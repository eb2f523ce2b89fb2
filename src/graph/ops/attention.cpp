#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy::ops {

OpDef attention() {
  OpDef op;
  op.name = "attention";
  op.doc =
      "Multi-head attention of each row to the rows of its sample: softmax(q k / sqrt(channels of a head) + log(size)) "
      "v. Vaswani et al., NIPS 2017; sizes of merged tokens: Bolya et al., ICLR 2023, section 3.2.";
  op.inputs = {"q: features", "k: features", "v: features", "sizes: features?"};
  op.outputs = {"y: features"};
  op.attributes = {{"heads", std::int64_t{1}, "consecutive groups of channels that attend apart"}};
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};  // whole heads only
  op.infer = [](const InferArgs& args) -> Inferred {
    require_attention(args, 3);
    const ValueType& v = require_features(args, 2);
    require_space(args, 2, args.inputs[0].space, "the queries");
    (void)require_heads(args.node, v.channels, "values");
    return {{v}, {}};
  };
  op.macs = [](const CostArgs& args) {
    return args.pairs(args.node.outputs[0]) *
           (args.graph.type(args.node.inputs[0]).channels + args.graph.type(args.node.inputs[2]).channels);
  };
  op.examples = [](std::uint64_t seed) {
    const auto make = [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t heads = rng.integer(1, 3), d = rng.integer(1, 20), e = rng.integer(1, 20);
      const ValueId q = b.linear(x, heads * d, true, "q"), k = b.linear(x, heads * d, true, "k");
      const ValueId v = b.linear(x, heads * e, true, "v");
      if (rng.chance(0.5)) return b.attention(q, k, v, heads);
      return b.attention(q, k, v, heads, b.add("softplus", {b.linear(x, 1, true, "sizes")})[0]);
    };
    auto examples = sparse_examples(seed, make);
    for (OpExample& e : point_examples(seed, make)) examples.push_back(std::move(e));
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
