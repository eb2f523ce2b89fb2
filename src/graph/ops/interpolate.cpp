#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef interpolate() {
  OpDef op;
  op.name = "interpolate";
  op.doc = "Features at any positions: the weighted sum of those of the sites around. Tang et al., ECCV 2020.";
  op.inputs = {"x: features", "weights: interpolation"};
  op.outputs = {"y: features"};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType y = require_features(args, 0);
    const ValueType& weights = require_kind(args, 1, ValueKind::interpolation);
    require_space(args, 0, weights.target, "the interpolation reads");
    y.space = weights.space;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      ConvOptions options{.channels = rng.integer(1, 9), .kernel = {2}, .stride = {rng.integer(2, 4)}};
      if (rng.chance(0.3)) {  // sites that are not those of the block rule: some positions have no neighbour at all
        options.rule = Rule::padded;
        options.kernel = {1};
      }
      return b.voxel_to_point(b.conv(x, options), b.space_of(x), {.renormalise = rng.chance(0.5)});
    });
  };
  return op;
}

}  // namespace rarefy::ops
