#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {
namespace {

Inferred infer(const InferArgs& args) {
  const Node& node = args.node;
  const ValueType& x = require_features(args, 0);
  const ValueType& map = require_kind(args, 1, ValueKind::map);
  require_space(args, 0, map.space, "the map " + args.producers[1] + " reads");
  const std::int64_t channels = node.integer("channels"), groups = node.integer("groups");
  RAREFY_CHECK(channels >= 1 && channels <= 65536, ShapeError,
               "node '{}' (grouped_conv): channels is {}, expected 1 to 65536", node.name, channels);
  RAREFY_CHECK(groups >= 1 && x.channels % groups == 0 && channels % groups == 0, ShapeError,
               "node '{}' (grouped_conv): groups is {}, which must divide both the {} channels of {} and the {} output "
               "channels",
               node.name, groups, x.channels, args.producers[0], channels);
  ValueType y = x;
  y.space = map.target;
  y.channels = channels;
  const std::int64_t in = x.channels / groups;
  using Init = ParameterSpec::Init;
  Inferred result{{y}, {{"weight", {map.channels, in, channels}, Init::kaiming_uniform, map.channels * in, true}}};
  if (node.integer("bias") != 0) result.parameters.push_back({"bias", {channels}, Init::zeros, 1, true});
  return result;
}

}  // namespace

OpDef grouped_conv() {
  OpDef op;
  op.name = "grouped_conv";
  op.doc =
      "Sparse convolution whose channels are cut into groups that do not meet: output channel j reads the input "
      "channels "
      "of group j / (C_out / groups). W is [K, C_in / groups, C_out]. Krizhevsky et al., NeurIPS 2012, section 3.2.";
  op.inputs = {"x: features", "map: map"};
  op.outputs = {"y: features"};
  op.attributes = {{"channels", std::int64_t{1}, "output channels, a multiple of groups"},
                   {"groups", std::int64_t{1}, "number of groups; divides the input's channels"},
                   {"bias", std::int64_t{0}, "1 = with bias"}};
  op.infer = infer;
  op.macs = [](const CostArgs& args) {
    const Node& node = args.node;
    return args.pairs(node.inputs[1]) * args.graph.type(node.inputs[0]).channels *
           args.graph.type(node.outputs[0]).channels / node.integer("groups");
  };
  // Groups must stay equal: which channels may go together is more than a rule per axis can say.
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t groups = rng.integer(2, 5), in = rng.integer(1, 9), out = rng.integer(in == 1 ? 2 : 1, 9);
      ConvOptions options{.channels = groups * out, .kernel = {3}, .groups = groups, .bias = rng.chance(0.5)};
      if (rng.chance(0.3)) options.stride = {2};
      ValueId y = b.conv(b.linear(x, groups * in), options);
      if (rng.chance(0.5)) y = b.batch_norm(y);
      return rng.chance(0.5) ? b.relu(y) : y;
    });
  };
  return op;
}

}  // namespace rarefy::ops
