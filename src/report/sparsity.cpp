#include "report/sparsity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace rarefy::report {
namespace {

double cells_at(const std::vector<std::int64_t>& stride, const std::array<std::int64_t, 3>& box) {
  double cells = 1;
  for (std::size_t axis = 0; axis < box.size(); ++axis) {
    const std::int64_t s = axis < stride.size() ? stride[axis] : 1;
    cells *= static_cast<double>((box[axis] + s - 1) / s);
  }
  return cells;
}

std::int64_t size_or_zero(const Sizes& sizes, ValueId value) {
  const auto found = sizes.find(value);
  return found == sizes.end() ? 0 : found->second;
}

/// The map that a node reads, or -1.
ValueId map_of(const Graph& graph, const Node& node) {
  for (const ValueId input : node.inputs) {
    if (graph.type(input).kind == ValueKind::map) return input;
  }
  return -1;
}

}  // namespace

Sparsity analyse(const Graph& graph, const Sizes& sizes, const std::array<std::int64_t, 3>& box) {
  Sparsity result;
  std::map<ValueId, Level> levels;
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const ValueType& type = graph.type(id);
    if (type.kind == ValueKind::space && type.dims == 3) {
      levels[id] = {type.stride.empty() ? 1 : type.stride[0], size_or_zero(sizes, id), cells_at(type.stride, box)};
    }
  }
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const ValueType& type = graph.values()[v].type;
    if (type.kind != ValueKind::map || type.space != type.target || !levels.contains(type.space)) continue;
    Level& level = levels[type.space];
    if (type.channels <= level.volume) continue;
    level.volume = type.channels;
    level.pairs = size_or_zero(sizes, static_cast<ValueId>(v));
  }
  for (const Node& node : graph.nodes()) {
    if (node.outputs.empty()) continue;
    const auto macs = static_cast<double>(multiply_adds(graph, node, sizes));
    const ValueId map = map_of(graph, node);
    const ValueType& out = graph.type(node.outputs[0]);
    if (map >= 0 && size_or_zero(sizes, map) > 0) {
      // A dense kernel visits every offset of every output cell.
      const double per_pair = macs / static_cast<double>(size_or_zero(sizes, map));
      const ValueType& type = graph.type(map);
      const auto& stride = graph.type(type.target).stride;
      const auto& in_stride = graph.type(type.space).stride;
      // A transposed layer meets each fine cell once per offset of its coarse parent.
      const bool finer = !stride.empty() && !in_stride.empty() && stride[0] < in_stride[0];
      result.dense_macs +=
          per_pair * (finer ? cells_at(stride, box) : cells_at(stride, box) * static_cast<double>(type.channels));
    } else {
      const std::int64_t rows = out.kind == ValueKind::features ? size_or_zero(sizes, out.space) : 0;
      const bool sparse = out.kind == ValueKind::features && levels.contains(out.space) && rows > 0;
      result.dense_macs += sparse ? macs / static_cast<double>(rows) * levels[out.space].cells : macs;
    }
    if (out.kind == ValueKind::features && levels.contains(out.space)) {
      const double tensor = levels[out.space].cells * static_cast<double>(out.channels) * 4;
      if (tensor > result.dense_tensor_bytes) {
        result.dense_tensor_bytes = tensor;
        result.dense_channels = out.channels;
      }
    }
  }
  for (const auto& [space, level] : levels) result.levels.push_back(level);
  std::stable_sort(result.levels.begin(), result.levels.end(),
                   [](const Level& a, const Level& b) { return a.stride < b.stride; });
  return result;
}

std::array<std::int64_t, 3> occupied_box(std::span<const float> xyz, std::span<const double> voxel_size) {
  std::array<std::int64_t, 3> box{1, 1, 1};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (std::size_t i = 0; i + 2 < xyz.size(); i += 3) {
      if (!std::isfinite(xyz[i]) || !std::isfinite(xyz[i + 1]) || !std::isfinite(xyz[i + 2])) continue;
      low = std::min(low, xyz[i + axis]);
      high = std::max(high, xyz[i + axis]);
    }
    if (!(low <= high)) return {0, 0, 0};
    const double size = axis < voxel_size.size() ? voxel_size[axis] : 1.0;
    box[axis] = static_cast<std::int64_t>(std::floor(high / size) - std::floor(low / size)) + 1;
  }
  return box;
}

}  // namespace rarefy::report
