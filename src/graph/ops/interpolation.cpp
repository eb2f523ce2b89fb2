#include "graph/example.h"
#include "graph/positions.h"

namespace rarefy::ops {

OpDef interpolation() {
  OpDef op;
  op.name = "interpolation";
  op.doc =
      "For each position (a site, or a point) the 2^D sites of another space around it and their multilinear weights. "
      "Tang et al., ECCV 2020 (trilinear devoxelization).";
  op.inputs = {"at: space or features of points", "sites: space"};
  op.outputs = {"weights: interpolation"};
  op.attributes = {
      position_attribute(),
      {"missing", std::string("renormalise"),
       "neighbours that do not exist: \"renormalise\" the weights of the others (as torchsparse), or count "
       "as \"zero\" (as MinkowskiEngine)"}};
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& sites = require_positions(args);
    const std::string& missing = args.node.text("missing");
    RAREFY_CHECK(missing == "renormalise" || missing == "zero", ShapeError,
                 "node '{}' (interpolation): missing is '{}', known are 'renormalise' and 'zero'", args.node.name,
                 missing);
    ValueType weights;
    weights.kind = ValueKind::interpolation;
    weights.space = args.inputs[0].space;
    weights.target = sites.space;
    weights.channels = std::int64_t{1} << sites.dims;
    return {{weights}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return point_examples(seed, [](Builder& b, ValueId points, Rng& rng) {
      const std::vector<double> size{0.2, 0.1, rng.chance(0.5) ? 0.2 : 0.3};
      const auto voxels = b.voxelize(points, {.voxel_size = size, .crop_min = {-0.3, -1, -1}, .crop_max = {1, 1, 1}});
      ValueId coarse = b.reduce(points, voxels.index);
      if (rng.chance(0.7)) coarse = b.conv(coarse, {.channels = 5, .kernel = {2}, .stride = {rng.integer(2, 3)}});
      return b.voxel_to_point(coarse, points, {.voxel_size = size, .renormalise = rng.chance(0.5)});
    });
  };
  return op;
}

}  // namespace rarefy::ops
