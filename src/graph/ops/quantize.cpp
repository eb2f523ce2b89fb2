#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {
namespace {

Inferred infer(const InferArgs& args) {
  const ValueType& x = require_features(args, 0);
  const std::int64_t bits = args.node.integer("bits");
  RAREFY_CHECK(bits >= 2 && bits <= 8, ShapeError, "node '{}' (quantize): bits is {}, expected 2 to 8", args.node.name,
               bits);
  return {{x}, {{"scale", {1}, ParameterSpec::Init::ones, 1, true}}};
}

}  // namespace

OpDef quantize() {
  OpDef op;
  op.name = "quantize";
  op.doc =
      "Rounds to what `bits` bits can store: scale * clamp(round(x / scale)). Layers with weight_bits that read it, "
      "and "
      "what they write into another quantize, run on integers. Jacob et al., CVPR 2018; the scale is learned as in "
      "Esser et al., ICLR 2020 (LSQ).";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"bits", std::int64_t{8}, "2 to 8"},
                   {"has_sign", std::int64_t{0}, "0: values 0 .. 2^bits - 1 steps; 1: +-(2^(bits-1) - 1) steps"}};
  op.infer = infer;
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.examples = [](std::uint64_t seed) {
    auto examples = sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const Attributes how{{"bits", rng.integer(2, 8)}, {"has_sign", rng.integer(0, 1)}};
      const ValueId q = b.add("quantize", {x}, how)[0];
      if (rng.chance(0.3)) return q;
      const auto layer = [&](std::int64_t channels) {
        return b.add("linear", {q},
                     {{"channels", channels}, {"bias", rng.integer(0, 1)}, {"weight_bits", rng.integer(2, 8)}})[0];
      };
      const ValueId y = layer(rng.integer(1, 40));
      const ValueId both = rng.chance(0.5) ? b.add_values(y, layer(b.type(y).channels)) : y;
      return rng.chance(0.5) ? b.relu(both) : both;
    });
    Rng rng(seed, 17);
    for (OpExample& example : examples)
      for (const Node& node : example.graph.nodes())
        if (node.op == "quantize")
          example.weights.mutable_at(node.parameters[0].name).mutable_as<float>()[0] =
              static_cast<float>(0.01 + 0.1 * rng.uniform());
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
