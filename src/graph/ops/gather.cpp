#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef gather() {
  OpDef op;
  op.name = "gather";
  op.doc =
      "For each row of the index's space, the row of x that it points to: voxel features or labels back to points.";
  op.inputs = {"x: features", "index: index"};
  op.outputs = {"y: features"};
  op.attributes = {{"fill", 0.0, "value for rows that point nowhere"}};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_kind(args, 0, ValueKind::features);
    const ValueType& index = require_kind(args, 1, ValueKind::index);
    require_space(args, 0, index.target, "the index points into");
    RAREFY_CHECK(x.dtype == Dtype::f32 || x.dtype == Dtype::u8, ShapeError,
                 "node '{}' (gather): {} is {}, served are f32 and u8", args.node.name, args.producers[0],
                 name(x.dtype));
    ValueType y = x;
    y.space = index.space;
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return point_examples(seed, [](Builder& b, ValueId points, Rng&) {
      const auto voxels =
          b.voxelize(points, {.voxel_size = {0.2, 0.2, 0.2}, .crop_min = {-0.3, -1, -1}, .crop_max = {0.3, 1, 1}});
      return b.gather(b.linear(b.reduce(points, voxels.index), 5), voxels.index, -1.0);
    });
  };
  return op;
}

}  // namespace rarefy::ops
