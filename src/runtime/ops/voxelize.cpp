#include "runtime/op.h"

namespace rarefy::runtime::ops {
namespace {

void fill(const std::vector<double>& from, std::array<float, kMaxDims>& to) {
  for (std::size_t a = 0; a < from.size(); ++a) to[a] = static_cast<float>(from[a]);
}

void run(const RunArgs& args) {
  const Node& node = *args.node;
  VoxelizeOptions options;
  options.dims = static_cast<int>(node.numbers("voxel_size").size());
  fill(node.numbers("voxel_size"), options.voxel_size);
  fill(node.numbers("crop_min"), options.crop_min);
  fill(node.numbers("crop_max"), options.crop_max);
  set_rounding(node.text("rounding"), options);
  const SpaceValue& points = args.space(args.graph->type(node.inputs[0]).space);
  Voxels& voxels = args.index(node.outputs[1]);
  rarefy::voxelize(args.input(0), points.sample_begin, options, *args.executor, voxels);
  if (args.thin != nullptr && args.thin->wanted.active())
    args.thin->left_out += thin(args.input(0), args.thin->wanted, voxels, args.thin->scratch);
  SpaceValue& space = args.space(node.outputs[0]);
  space.coords = &voxels.coords;
  space.rows = voxels.coords.rows();
  space.sample_begin.assign(voxels.coords.batch_begin.begin(), voxels.coords.batch_begin.end());
}

}  // namespace

RuntimeOp voxelize() {
  RuntimeOp op;
  op.run = run;
  op.kind = "voxelize";
  return op;
}

}  // namespace rarefy::runtime::ops
