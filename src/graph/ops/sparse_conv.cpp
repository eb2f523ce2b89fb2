#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {
namespace {

Inferred infer(const InferArgs& args) {
  const Node& node = args.node;
  const ValueType& x = require_features(args, 0);
  const ValueType& map = require_kind(args, 1, ValueKind::map);
  require_space(args, 0, map.space, "the map " + args.producers[1] + " reads");
  const std::int64_t channels = node.integer("channels");
  RAREFY_CHECK(channels >= 1 && channels <= 65536, ShapeError,
               "node '{}' (sparse_conv): channels is {}, expected 1 to 65536", node.name, channels);
  require_weight_bits(node);
  ValueType y = x;
  y.space = map.target;
  y.channels = channels;
  Inferred result{{y}, {}};
  result.parameters.push_back({"weight",
                               {map.channels, x.channels, channels},
                               ParameterSpec::Init::kaiming_uniform,
                               map.channels * x.channels,
                               true});
  if (node.integer("bias") != 0) result.parameters.push_back({"bias", {channels}, ParameterSpec::Init::zeros, 1, true});
  return result;
}

}  // namespace

OpDef sparse_conv() {
  OpDef op;
  op.name = "sparse_conv";
  op.doc =
      "Sparse convolution over a kernel map: y[o] = sum of x[i] W[k] over pairs (i, o, k), plus bias. Choy et al., "
      "CVPR 2019.";
  op.inputs = {"x: features", "map: map"};
  op.outputs = {"y: features"};
  op.attributes = {{"channels", std::int64_t{1}, "output channels"},
                   {"bias", std::int64_t{0}, "1 = with bias"},
                   {"weight_bits", std::int64_t{0},
                    "2 to 8: weights are rounded to integers times a scale per output channel (largest magnitude = "
                    "2^(weight_bits-1) - 1 steps); 0: as they are"}};
  op.infer = infer;
  op.macs = [](const CostArgs& args) {
    const Node& node = args.node;
    return args.pairs(node.inputs[1]) * args.graph.type(node.inputs[0]).channels *
           args.graph.type(node.outputs[0]).channels;
  };
  op.channels = {{ChannelRule::Flow::consumes, 0, "weight", 1},
                 {ChannelRule::Flow::produces, 0, "weight", 2},
                 {ChannelRule::Flow::produces, 0, "bias", 0}};
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      ConvOptions options{.channels = rng.integer(1, 35), .kernel = {3}, .bias = rng.chance(0.5)};
      if (rng.chance(0.5))
        options = {.channels = rng.integer(1, 9), .kernel = {2}, .stride = {2}, .bias = rng.chance(0.5)};
      return b.conv(x, options);
    });
  };
  return op;
}

}  // namespace rarefy::ops
