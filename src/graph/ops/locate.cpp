#include "graph/example.h"
#include "graph/positions.h"

namespace rarefy::ops {

OpDef locate() {
  OpDef op;
  op.name = "locate";
  op.doc =
      "For each position (a site, or a point) the row of the site of another space, at any stride, that holds it; what "
      "point-to-voxel means and nearest devoxelization run on. Tang et al., ECCV 2020.";
  op.inputs = {"from: space or features of points", "to: space"};
  op.outputs = {"index: index"};
  op.attributes = {position_attribute()};
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType index;
    index.kind = ValueKind::index;
    index.target = require_positions(args).space;
    index.space = args.inputs[0].space;
    return {{index}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    auto examples = sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId coarse = b.conv(x, {.channels = 3, .kernel = {2}, .stride = {rng.integer(2, 3)}});
      const ValueId mean = b.point_to_voxel(b.linear(x, rng.integer(1, 9)), b.space_of(coarse));
      return rng.chance(0.5) ? mean : b.gather(mean, b.locate(b.space_of(x), b.space_of(coarse)));
    });
    for (OpExample& example : point_examples(seed, [](Builder&b, ValueId points, Rng&rng) {
           const std::vector<double> size{0.2, 0.1, rng.chance(0.5) ? 0.2 : 0.3};
           const auto voxels = b.voxelize(points, {.voxel_size = size});
           ValueId coarse = b.reduce(points, voxels.index);
           if (rng.chance(0.7)) coarse = b.conv(coarse, {.channels = 3, .kernel = {2}, .stride = {rng.integer(2, 3)}});
           return b.reduce(points, b.locate(points, b.space_of(coarse), size), rng.chance(0.5) ? "mean" : "max");
         }))
      examples.push_back(std::move(example));
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
