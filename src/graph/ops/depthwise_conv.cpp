#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef depthwise_conv() {
  OpDef op;
  op.name = "depthwise_conv";
  op.doc =
      "Sparse convolution in which each channel has its own K weights and meets no other: y[o] = sum of x[i] * w[k] "
      "over pairs (i, o, k), channel by channel, plus bias. W is [K, C]. Howard et al., 2017, section 3.1.";
  op.inputs = {"x: features", "map: map"};
  op.outputs = {"y: features"};
  op.attributes = {{"bias", std::int64_t{0}, "1 = with bias"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const ValueType& map = require_kind(args, 1, ValueKind::map);
    require_space(args, 0, map.space, "the map " + args.producers[1] + " reads");
    ValueType y = x;
    y.space = map.target;
    using Init = ParameterSpec::Init;
    Inferred result{{y}, {{"weight", {map.channels, x.channels}, Init::kaiming_uniform, map.channels, true}}};
    if (args.node.integer("bias") != 0) result.parameters.push_back({"bias", {x.channels}, Init::zeros, 1, true});
    return result;
  };
  op.macs = [](const CostArgs& args) {
    return args.pairs(args.node.inputs[1]) * args.graph.type(args.node.inputs[0]).channels;
  };
  op.channels = {{ChannelRule::Flow::shares, 0, "weight", 1}, {ChannelRule::Flow::shares, 0, "bias", 0}};
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t channels = rng.integer(1, 70);
      ConvOptions options{.kernel = {3}, .bias = rng.chance(0.5)};
      if (rng.chance(0.3)) options.stride = {2};
      ValueId y = b.depthwise_conv(b.linear(x, channels), options);
      if (rng.chance(0.5)) y = b.batch_norm(y);
      return rng.chance(0.5) ? b.relu(y) : y;
    });
  };
  return op;
}

}  // namespace rarefy::ops
