#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {
namespace {

Inferred infer(const InferArgs& args) {
  const ValueType& x = require_features(args, 0);
  const std::int64_t channels = args.node.integer("channels");
  RAREFY_CHECK(channels >= 1 && channels <= 65536, ShapeError,
               "node '{}' (linear): channels is {}, expected 1 to 65536", args.node.name, channels);
  require_weight_bits(args.node);
  ValueType y = x;
  y.channels = channels;
  Inferred result{{y}, {}};
  result.parameters.push_back(
      {"weight", {x.channels, channels}, ParameterSpec::Init::kaiming_uniform, x.channels, true});
  if (args.node.integer("bias") != 0)
    result.parameters.push_back({"bias", {channels}, ParameterSpec::Init::zeros, 1, true});
  return result;
}

}  // namespace

OpDef linear() {
  OpDef op;
  op.name = "linear";
  op.doc = "y = x W + bias on every row; also what a 1x1x1 convolution is. W is [C_in, C_out].";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"channels", std::int64_t{1}, "output channels"},
                   {"bias", std::int64_t{1}, "1 = with bias"},
                   {"weight_bits", std::int64_t{0},
                    "2 to 8: weights are rounded to integers times a scale per output channel (largest magnitude = "
                    "2^(weight_bits-1) - 1 steps); 0: as they are"}};
  op.infer = infer;
  op.macs = [](const CostArgs& args) {
    return args.rows(args.node.inputs[0]) * args.graph.type(args.node.inputs[0]).channels *
           args.graph.type(args.node.outputs[0]).channels;
  };
  op.channels = {{ChannelRule::Flow::consumes, 0, "weight", 0},
                 {ChannelRule::Flow::produces, 0, "weight", 1},
                 {ChannelRule::Flow::produces, 0, "bias", 0}};
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(
        seed, [](Builder& b, ValueId x, Rng& rng) { return b.linear(x, rng.integer(1, 40), rng.chance(0.5)); });
  };
  return op;
}

}  // namespace rarefy::ops
