// Voxels, sites and maps on the GPU.
#include <algorithm>

#include "graph/box.h"
#include "graph/infer.h"
#include "runtime/cuda/ops.h"
#include "runtime/shared/positions.h"

namespace rarefy::runtime::cuda {
namespace {

void settle(DeviceSpace& space, Sites& sites) {
  space.sites = &sites;
  space.rows = sites.rows;
  space.batches = sites.batches;
}

void fill(const std::vector<double>& from, std::array<float, kMaxDims>& to) {
  for (std::size_t a = 0; a < from.size(); ++a) to[a] = static_cast<float>(from[a]);
}

void run_voxelize(const DeviceArgs& args) {
  const Node& node = args.node;
  VoxelizeOptions options;
  options.dims = static_cast<int>(node.numbers("voxel_size").size());
  fill(node.numbers("voxel_size"), options.voxel_size);
  fill(node.numbers("crop_min"), options.crop_min);
  fill(node.numbers("crop_max"), options.crop_max);
  set_rounding(node.text("rounding"), options);
  const Matrix2d& points = args.input(0);
  DeviceIndex& index = args.index(node.outputs[1]);
  const std::vector<std::int64_t>& begin = args.space_of(node.inputs[0]).sample_begin;
  cuda::voxelize({static_cast<const float*>(points.data), points.rows, points.cols, points.stride}, begin, options,
                 args.stream, index.voxels);
  index.row_of = index.voxels.voxel_of_point.as<std::int32_t>();
  index.rows = points.rows;
  index.inverse_begin = index.voxels.point_begin.as<std::int32_t>();
  index.inverse_order = index.voxels.point_order.as<std::int32_t>();
  settle(args.space(node.outputs[0]), index.voxels.sites);
}

/// Entries that a set of sites may have room for before it pays to wait for the rows of its input (some 15 us): room
/// would else multiply from level to level.
constexpr std::int64_t kMostUnread = std::int64_t{1} << 20;

template <auto kMake, auto kCapacity>
void run_sites(const DeviceArgs& args) {
  DeviceSpace& to = args.space(args.node.outputs[0]);
  Sites& from = *args.space(args.node.inputs[0]).sites;
  const KernelShape kernel = kernel_shape(args.node, from.dims);
  const std::int64_t capacity = kCapacity(from, kernel);
  if (from.rows < 0 && capacity > from.capacity && capacity > kMostUnread) {
    Sites* const known[] = {&from};
    read_rows(known, args.scratch.sizes, args.stream);
  }
  kMake(from, kernel, args.stream, to.own);
  settle(to, to.own);
}

std::any prepare_box(const PrepareArgs& args, Arithmetic) {
  const ValueType& type = args.graph.type(args.node.outputs[0]);
  return box_of(args.node, type.stride, type.dims);
}

/// The image's sites do not depend on the scan: made on the host once per number of samples.
void run_box(const DeviceArgs& args) {
  DeviceSpace& image = args.space(args.node.outputs[0]);
  const std::int64_t batches = args.space(args.node.inputs[0]).batches;
  if (image.own.rows < 0 || image.own.batches != batches) {
    Coords coords;
    fill_box(std::any_cast<const Box&>(args.state), batches, coords);
    to_device(coords, args.stream, image.own);
  }
  settle(image, image.own);
}

void run_kernel_map(const DeviceArgs& args) {
  const Sites& from = *args.space(args.node.inputs[0]).sites;
  const Sites& to = *args.space(args.node.inputs[1]).sites;
  args.scratch.maps.built.push_back({&from, &to, kernel_shape(args.node, from.dims), &args.map(args.node.outputs[0])});
}

void run_transpose_map(const DeviceArgs& args) {
  std::vector<TransposeRequest>& pending = args.scratch.maps.transposed;
  const DeviceMap& from = args.map(args.node.inputs[0]);
  const bool chained = std::any_of(pending.begin(), pending.end(), [&](const auto& p) { return p.to == &from; });
  if (chained) args.scratch.maps.make(args.stream);
  pending.push_back({&from, &args.map(args.node.outputs[0])});
}

DevicePositions positions_of(const DeviceArgs& args) {
  const ValueId from = args.node.inputs[0];
  const ValueType& type = args.graph.type(from);
  DevicePositions positions;
  const DeviceSpace& space = args.space(type.space);
  if (type.kind == ValueKind::space) {
    positions.sites = space.sites;
    return positions;
  }
  require_input_positions(args.graph, args.node);
  const Matrix2d& points = args.input(0);
  positions.points = {static_cast<const float*>(points.data), points.rows, points.cols, points.stride};
  if (space.batches > 1) positions.sample_of_point = space.sample_of_row.as<std::int32_t>();
  positions.voxel_size = voxel_size_of_positions(args.node);
  return positions;
}

void run_locate(const DeviceArgs& args) {
  DeviceIndex& index = args.index(args.node.outputs[0]);
  DeviceSpace& to = args.space(args.node.inputs[1]);
  index.rows = args.space_of(args.node.inputs[0]).rows;
  auto* rows = index.located.reserve_for<std::int32_t>(index.rows);
  cuda::locate(positions_of(args), *to.sites, args.stream, rows);
  index.row_of = rows;
  auto* begin = index.begin.reserve_for<std::int32_t>(to.rows + 1);
  auto* order = index.order.reserve_for<std::int32_t>(index.rows);
  invert_index(rows, index.rows, to.rows, args.stream, index.scratch, begin, order);
  index.inverse_begin = begin;
  index.inverse_order = order;
}

void run_interpolation(const DeviceArgs& args) {
  DeviceInterpolation& out = args.interpolation(args.node.outputs[0]);
  const Sites& to = *args.space(args.node.inputs[1]).sites;
  out.corners = 1 << to.dims;
  out.rows = args.space_of(args.node.inputs[0]).rows;
  const auto missing = args.node.text("missing") == "zero" ? MissingNeighbours::zero : MissingNeighbours::renormalise;
  make_interpolation(positions_of(args), to, missing, args.stream,
                     out.row.reserve_for<std::int32_t>(out.rows * out.corners),
                     out.weight.reserve_for<float>(out.rows * out.corners));
}

}  // namespace

void PendingMaps::make(Stream stream) {
  build_kernel_maps(built, stream);
  transpose_maps(transposed, stream);
  clear();
}

void PendingMaps::clear() {
  built.clear();
  transposed.clear();
}

void add_geometry_ops(DeviceOps& ops) {
  ops["voxelize"] = {Phase::voxels, nullptr, run_voxelize};
  ops["downsample"] = {Phase::sites, nullptr, run_sites<cuda::downsample, downsampled_capacity>};
  ops["generate"] = {Phase::sites, nullptr, run_sites<cuda::generate, generated_capacity>};
  ops["box"] = {Phase::sites, prepare_box, run_box};
  ops["kernel_map"] = {Phase::maps, nullptr, run_kernel_map};
  ops["transpose_map"] = {Phase::maps, nullptr, run_transpose_map};
  ops["locate"] = {Phase::maps, nullptr, run_locate};
  ops["interpolation"] = {Phase::maps, nullptr, run_interpolation};
}

}  // namespace rarefy::runtime::cuda
