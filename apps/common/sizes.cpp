#include "common/sizes.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "graph/geometry_part.h"
#include "runtime/op.h"

namespace rarefy::cli {

MeasuredSizes measure_sizes(const Model& model, const Scan& scan, int threads) {
  const Graph& graph = model.graph();
  RAREFY_CHECK(
      graph.inputs().size() == 1 && graph.nodes()[static_cast<std::size_t>(graph.inputs()[0])].op == "input_points",
      UnsupportedError,
      "this graph does not take the points of one scan; multiply-adds of it need --voxels, or `rarefy run`");
  const Node& node = graph.nodes()[static_cast<std::size_t>(graph.inputs()[0])];
  const std::vector<bool> ahead = geometry_part(graph);
  for (std::size_t n = 0; n < ahead.size(); ++n)
    for (const ValueId v : graph.nodes()[n].outputs)
      RAREFY_CHECK(ahead[n] || graph.type(v).kind == ValueKind::features, UnsupportedError,
                   "the sites of '{}' depend on features, not on the scan alone: how many there are shows `rarefy run`",
                   graph.nodes()[n].name);
  const auto executor = make_thread_pool(threads);
  runtime::GeometryRunner runner(graph);
  runtime::GeometryValues values;
  runner.allocate(values);
  std::vector<TensorView> features(graph.values().size());
  AlignedBuffer buffer;
  std::vector<std::int32_t> order;
  bool missing = false;
  const PointView points{.data = scan.xyz.data(), .count = scan.size(), .stride_bytes = 12};
  runtime::bind_input(graph, node, points, model.pipeline() ? &*model.pipeline() : nullptr, values, buffer, order,
                      features, &missing);
  runner.run(values, features, *executor);
  MeasuredSizes result;
  result.points = scan.size();
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const ValueKind kind = graph.type(id).kind;
    if (kind == ValueKind::space && values.spaces[v]) result.sizes[id] = values.spaces[v]->rows;
    if (kind == ValueKind::map && values.maps[v]) result.sizes[id] = values.maps[v]->pairs();
  }
  return result;
}

namespace {

/// A KITTI scan of 120,268 points at 5 cm, block rule: voxels of a level per voxel of the one before, and pairs of a
/// 3x3x3 map per voxel of the level; points per voxel.
constexpr double kVoxelRatio[] = {1.0, 0.7064, 0.5911, 0.4831, 0.4114};
constexpr double kPointRatio = 1.326;
constexpr double kPairRatio[] = {3.321, 5.165, 7.211, 9.052, 10.307};

std::size_t level_of(const ValueType& space) {
  const std::int64_t stride = space.stride.empty() ? 1 : space.stride[0];
  return static_cast<std::size_t>(std::lround(std::log2(static_cast<double>(std::max<std::int64_t>(1, stride)))));
}

void fill(LevelSizes& levels, std::size_t count) {
  while (levels.voxels.size() < count) {
    const double ratio = kVoxelRatio[std::min(levels.voxels.size(), std::size(kVoxelRatio) - 1)];
    levels.voxels.push_back(std::llround(static_cast<double>(levels.voxels.back()) * ratio));
    levels.estimated = true;
  }
  while (levels.pairs.size() < count) {
    const std::size_t level = levels.pairs.size();
    const double ratio = kPairRatio[std::min(level, std::size(kPairRatio) - 1)];
    levels.pairs.push_back(std::llround(static_cast<double>(levels.voxels[level]) * ratio));
    levels.estimated = true;
  }
}

}  // namespace

Sizes sizes_of_levels(const Graph& graph, LevelSizes& levels) {
  RAREFY_CHECK(!levels.voxels.empty(), UsageError, "--voxels needs at least the number of voxels of the finest level");
  std::size_t count = 1;
  for (const Value& value : graph.values()) {
    if (value.type.kind == ValueKind::space && value.type.dims > 0) count = std::max(count, level_of(value.type) + 1);
  }
  fill(levels, count);
  Sizes sizes;
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const ValueType& type = graph.type(id);
    if (type.kind == ValueKind::space)
      sizes[id] = type.target >= 0 ? 1  // samples
                  : type.dims > 0  ? levels.voxels[level_of(type)]
                                   : std::llround(kPointRatio * static_cast<double>(levels.voxels[0]));
    if (type.kind != ValueKind::map) continue;
    const std::size_t from = level_of(graph.type(type.space)), to = level_of(graph.type(type.target));
    RAREFY_CHECK(type.channels == 1 || (from == to && type.channels == 27) || (from != to && type.channels == 8),
                 UnsupportedError,
                 "map '{}' has a kernel of {} offsets: its pairs do not follow from --voxels; give --scan",
                 graph.producer(id).name, type.channels);
    sizes[id] = type.channels == 27 ? levels.pairs[from] : levels.voxels[std::min(from, to)];
  }
  return sizes;
}

std::int64_t weight_bytes(const Model& model) {
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : model.weights().all()) bytes += tensor.bytes();
  return bytes;
}

double expected_memory_mb(const Model& model, const Plan& plan, const Sizes& sizes, std::int64_t points) {
  constexpr double kProgram = 7.5e6;        // 7 without and 8 with the GPU kernels
  constexpr std::int64_t kPointBytes = 16;  // x, y, z, intensity
  return 1e-6 *
         (kProgram + static_cast<double>(2 * weight_bytes(model) + kPointBytes * points + plan.expected_memory(sizes)));
}

}  // namespace rarefy::cli
