#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef reduce() {
  OpDef op;
  op.name = "reduce";
  op.doc = "Features of voxels from those of their points.";
  op.inputs = {"x: features", "voxel_of_point: index"};
  op.outputs = {"y: features"};
  op.attributes = {{"reduction", std::string("mean"), "\"mean\", \"first\", \"max\" or \"sum\""}};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const ValueType& index = require_kind(args, 1, ValueKind::index);
    require_space(args, 0, index.space, "the index");
    const std::string& reduction = args.node.text("reduction");
    RAREFY_CHECK(reduction == "mean" || reduction == "first" || reduction == "max" || reduction == "sum", ShapeError,
                 "node '{}' (reduce): reduction is '{}', known are 'mean', 'first', 'max' and 'sum'", args.node.name,
                 reduction);
    ValueType y = x;
    y.space = index.target;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return point_examples(seed, [](Builder& b, ValueId points, Rng& rng) {
      const char* reductions[] = {"mean", "first", "max", "sum"};
      const auto voxels = b.voxelize(points, {.voxel_size = {0.2, 0.2, 0.2}});
      return b.reduce(points, voxels.index, reductions[rng.integer(0, 3)]);
    });
  };
  return op;
}

}  // namespace rarefy::ops
