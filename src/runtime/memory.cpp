// Memory that a run needs: expected from sizes, and checked before it is taken.
#include "runtime/memory.h"

#include "base/check.h"
#include "base/memory.h"
#include "runtime/plan_impl.h"

namespace rarefy {
namespace {

/// Per point of a voxelization: three lists of sort keys, the voxel, the order.
constexpr std::int64_t kPointBytes = 3 * 8 + 4 + 4;
/// Per row of another index: the row that it points to, the order; per row that is pointed to: where its rows begin.
constexpr std::int64_t kIndexBytes = 4 + 4, kTargetBytes = 4;
/// Per site of a space: its key and two lists of keys of working memory.
constexpr std::int64_t kSiteBytes = 3 * 8;
/// Vectors that grow hold up to twice what they need.
constexpr double kGrowth = 1.5;

std::int64_t map_bytes(const Graph& graph, const Node& node, const ValueType& map, const Sizes& sizes) {
  const std::int64_t pairs = sizes.at(node.outputs[0]), in = sizes.at(map.space), out = sizes.at(map.target);
  const std::int64_t rows = 8 * pairs + 8 * (out / KernelMap::kBlockRows + 1) * map.channels;
  if (node.op != "kernel_map") return rows;
  // Candidates of the search: every second pair of a symmetric map but its centre, every pair of another.
  const bool symmetric = map.space == map.target && map.channels % 2 == 1;
  const double candidates = symmetric ? 0.5 * static_cast<double>(pairs - in) : static_cast<double>(pairs);
  return rows + 8 * in + static_cast<std::int64_t>(8 * kGrowth * candidates);
}

}  // namespace

std::int64_t Plan::expected_memory(const Sizes& sizes) const {
  const Graph& graph = impl_->model.graph();
  const auto known = [&](ValueId v) { return sizes.find(v) != sizes.end(); };
  std::int64_t bytes = 0;
  for (const runtime::BufferSpec& buffer : impl_->layout.buffers) {
    RAREFY_CHECK(known(buffer.space), UsageError, "the rows of space {} are not given: memory needs all sizes",
                 buffer.space);
    bytes += sizes.at(buffer.space) * buffer.row_bytes;
  }
  for (const Node& node : graph.nodes()) {
    for (const ValueId v : node.outputs) {
      const ValueType& type = graph.type(v);
      if (type.kind == ValueKind::map) bytes += map_bytes(graph, node, type, sizes);
      if (type.kind == ValueKind::space && type.dims > 0) bytes += sizes.at(v) * kSiteBytes;
      if (type.kind == ValueKind::interpolation) bytes += 8 * type.channels * sizes.at(type.space);
      if (type.kind != ValueKind::index) continue;
      bytes += node.op == "voxelize" ? sizes.at(type.space) * kPointBytes
                                     : sizes.at(type.space) * kIndexBytes + sizes.at(type.target) * kTargetBytes;
    }
  }
  return bytes;
}

namespace runtime {

void require_memory(std::int64_t bytes, std::int64_t held, std::int64_t limit) {
  RAREFY_CHECK(limit == 0 || held + bytes <= limit, MemoryError,
               "this run needs {:.0f} MB of memory, {:.0f} MB of it for layers that have not run yet; this context may "
               "use {:.0f} MB (memory_limit). Give it less of the scene, larger voxels or a higher limit",
               1e-6 * static_cast<double>(held + bytes), 1e-6 * static_cast<double>(bytes),
               1e-6 * static_cast<double>(limit));
  constexpr std::int64_t kWorthAsking = 256 << 20;
  if (bytes < kWorthAsking) return;
  const std::int64_t available = available_memory();
  RAREFY_CHECK(available < 0 || bytes <= available, MemoryError,
               "this run needs {:.0f} MB more memory, {:.0f} MB are available. Give it less of the scene, larger "
               "voxels or a narrower model",
               1e-6 * static_cast<double>(bytes), 1e-6 * static_cast<double>(available));
}

}  // namespace runtime
}  // namespace rarefy
