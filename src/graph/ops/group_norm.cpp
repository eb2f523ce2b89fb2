#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef group_norm() {
  OpDef op;
  op.name = "group_norm";
  op.doc =
      "Normalisation over the rows of each sample and groups of consecutive channels, then weight and bias per "
      "channel; "
      "as many groups as channels make it instance norm. Wu, He, ECCV 2018.";
  op.inputs = {"x: features"};
  op.outputs = {"y: features"};
  op.attributes = {{"num_groups", std::int64_t{1}, "divides the channels"}, {"epsilon", 1e-5, "added to the variance"}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const std::int64_t groups = args.node.integer("num_groups");
    RAREFY_CHECK(groups >= 1 && x.channels % groups == 0, ShapeError,
                 "node '{}' (group_norm): {} groups do not divide the {} channels of {}", args.node.name, groups,
                 x.channels, args.producers[0]);
    return {{x},
            {{"weight", {x.channels}, ParameterSpec::Init::ones, 1, true},
             {"bias", {x.channels}, ParameterSpec::Init::zeros, 1, true}}};
  };
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};  // the channels of a group change each other
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t groups = rng.integer(1, 5);
      return b.group_norm(b.linear(x, groups * rng.integer(1, 7)), groups);
    });
  };
  return op;
}

}  // namespace rarefy::ops
