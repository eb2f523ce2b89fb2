#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef voxelize() {
  OpDef op;
  op.name = "voxelize";
  op.doc = "Voxels of points: floor(x / voxel_size) in float32, sorted; and for each point the row of its voxel.";
  op.inputs = {"points: features"};
  op.outputs = {"voxels: space", "voxel_of_point: index"};
  op.attributes = {{"voxel_size", std::vector<double>{0.05, 0.05, 0.05}, "per axis, in the unit of the coordinates"},
                   {"rounding", std::string("floor"),
                    "\"floor\", \"round_minus_min\" (the rule of the spvnas code) or \"floor_from_crop\" (spconv's: "
                    "counted from the crop's "
                    "lower corner)"},
                   {"crop_min", std::vector<double>{}, "points below are dropped; empty = no crop"},
                   {"crop_max", std::vector<double>{}, "points at or above are dropped; empty = no crop"}};
  op.geometry = true;
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const Node& node = args.node;
    const ValueType& points = require_features(args, 0);
    const auto& size = node.numbers("voxel_size");
    RAREFY_CHECK(!size.empty() && size.size() <= kMaxDims, ShapeError,
                 "node '{}' (voxelize): voxel_size has {} entries, expected 1 to 4", node.name, size.size());
    RAREFY_CHECK(points.channels >= static_cast<std::int64_t>(size.size()), ShapeError,
                 "node '{}' (voxelize): {} has {} columns, but {} coordinates are needed", node.name, args.producers[0],
                 points.channels, size.size());
    for (const double s : size)
      RAREFY_CHECK(s > 0.0 && s < 1e9, ShapeError, "node '{}' (voxelize): a voxel size of {} is not positive",
                   node.name, s);
    for (const char* crop : {"crop_min", "crop_max"})
      RAREFY_CHECK(node.numbers(crop).empty() || node.numbers(crop).size() == size.size(), ShapeError,
                   "node '{}' (voxelize): {} has {} entries, expected {} or none", node.name, crop,
                   node.numbers(crop).size(), size.size());
    const std::string& rounding = node.text("rounding");
    RAREFY_CHECK(rounding == "floor" || rounding == "round_minus_min" || rounding == "floor_from_crop", ShapeError,
                 "node '{}' (voxelize): rounding is '{}', known are 'floor', 'round_minus_min' and 'floor_from_crop'",
                 node.name, rounding);
    ValueType space;
    space.kind = ValueKind::space;
    space.space = args.output_ids[0];
    space.dims = static_cast<int>(size.size());
    space.stride.assign(size.size(), 1);
    ValueType index;
    index.kind = ValueKind::index;
    index.space = points.space;
    index.target = args.output_ids[0];
    return {{space, index}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return point_examples(seed, [](Builder& b, ValueId points, Rng& rng) {
      VoxelOptions options;
      options.voxel_size = {0.1, 0.2, rng.chance(0.5) ? 0.1 : 0.3};
      const auto voxels = b.voxelize(points, options);
      return b.reduce(points, voxels.index, rng.chance(0.5) ? "mean" : "first");
    });
  };
  return op;
}

}  // namespace rarefy::ops
