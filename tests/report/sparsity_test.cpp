#include "report/sparsity.h"

#include <gtest/gtest.h>

#include <limits>

#include "rarefy/builder.h"

namespace rarefy::report {
namespace {

/// x [N, 2] -> 3x3x3 to 4 channels -> stride 2 to 8 -> transposed to 4 -> linear to 5.
Graph network() {
  Builder b;
  const ValueId x = b.conv(b.sparse_input(2, 3), {.channels = 4, .kernel = {3}, .name = "a"});
  const ValueId down = b.conv(x, {.channels = 8, .kernel = {2}, .stride = {2}, .name = "b"});
  const ValueId up = b.conv_transposed(down, x, {.channels = 4, .kernel = {2}, .stride = {2}, .name = "c"});
  b.output("y", b.linear(up, 5, true, "d"));
  return b.build();
}

/// Sizes of a full block of cells^3 voxels: nothing is sparse.
Sizes full_block(const Graph& graph, std::int64_t cells) {
  const auto rows = [&](ValueId space) {
    const std::int64_t side = cells / graph.type(space).stride[0];
    return side * side * side;
  };
  Sizes sizes;
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const auto id = static_cast<ValueId>(v);
    const ValueType& type = graph.type(id);
    if (type.kind == ValueKind::space) sizes[id] = rows(id);
    if (type.kind == ValueKind::map) {
      const std::int64_t inner = 3 * cells - 2;  // pairs along one axis of a kernel of three
      sizes[id] = type.space == type.target ? inner * inner * inner : std::max(rows(type.space), rows(type.target));
    }
  }
  return sizes;
}

TEST(Sparsity, dense_cost_of_a_full_block_differs_from_the_sparse_one_by_its_border_only) {
  const Graph graph = network();
  const std::int64_t cells = 8, all = cells * cells * cells;
  const Sizes sizes = full_block(graph, cells);
  const Sparsity s = analyse(graph, sizes, {cells, cells, cells});
  const double a = 27.0 * all * 2 * 4, b = all * 4 * 8, c = all * 8 * 4, d = all * 4 * 5;
  EXPECT_DOUBLE_EQ(s.dense_macs, a + b + c + d);
  const double border = (27.0 * all - 22.0 * 22 * 22) * 2 * 4;
  EXPECT_DOUBLE_EQ(s.dense_macs, static_cast<double>(multiply_adds(graph, sizes)) + border);
  ASSERT_EQ(s.levels.size(), 2u);
  EXPECT_EQ(s.levels[0].stride, 1);
  EXPECT_EQ(s.levels[0].voxels, all);
  EXPECT_DOUBLE_EQ(s.levels[0].cells, static_cast<double>(all));
  EXPECT_EQ(s.levels[0].volume, 27);
  EXPECT_EQ(s.levels[1].stride, 2);
  EXPECT_DOUBLE_EQ(s.levels[1].cells, 64);
  EXPECT_EQ(s.levels[1].pairs, 0);
  EXPECT_EQ(s.dense_channels, 5);
  EXPECT_DOUBLE_EQ(s.dense_tensor_bytes, all * 5 * 4.0);
}

TEST(Sparsity, a_box_ten_times_as_long_costs_ten_times_as_much_densely) {
  const Graph graph = network();
  const Sizes sizes = full_block(graph, 8);
  EXPECT_DOUBLE_EQ(analyse(graph, sizes, {80, 8, 8}).dense_macs, 10 * analyse(graph, sizes, {8, 8, 8}).dense_macs);
}

TEST(Sparsity, box_of_points_ignores_those_that_are_not_finite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> xyz = {-0.01f, 0, 0, 0.99f, 0.2f, 0, nan, 100, 100};
  const std::vector<double> voxel = {0.1, 0.1, 0.1};
  EXPECT_EQ(occupied_box(xyz, voxel), (std::array<std::int64_t, 3>{11, 3, 1}));
  EXPECT_EQ(occupied_box({}, voxel), (std::array<std::int64_t, 3>{0, 0, 0}));
}

}  // namespace
}  // namespace rarefy::report
