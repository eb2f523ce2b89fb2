/// What the builder makes of groups, offset lists, pooling, and features over different spaces; and what it refuses.
#include <gtest/gtest.h>

#include "graph/geometry_part.h"
#include "rarefy/builder.h"
#include "rarefy/error.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

using test::expect_error;

std::vector<std::string> ops_of(const Graph& graph) {
  std::vector<std::string> ops;
  for (const Node& node : graph.nodes()) ops.push_back(node.op);
  return ops;
}

TEST(Groups, choose_the_op) {
  Builder b;
  const ValueId x = b.sparse_input(6, 3);
  const auto op = [&](std::int64_t channels, std::int64_t groups, std::int64_t kernel = 3) {
    Builder fresh;
    const ValueId in = fresh.sparse_input(6, 3);
    fresh.output("y", fresh.conv(in, {.channels = channels, .kernel = {kernel}, .groups = groups}));
    return fresh.build().nodes().back().op;
  };
  EXPECT_EQ(op(6, 1), "sparse_conv");
  EXPECT_EQ(op(6, 1, 1), "linear");
  EXPECT_EQ(op(6, 6), "depthwise_conv");
  EXPECT_EQ(op(6, 6, 1), "depthwise_conv");
  EXPECT_EQ(op(12, 6), "grouped_conv");
  EXPECT_EQ(op(6, 2, 1), "grouped_conv");
  const Graph graph = [&] {
    b.output("y", b.conv(x, {.channels = 9, .groups = 3, .bias = true, .name = "c"}));
    b.output("z", b.depthwise_conv(x, {.name = "d"}));
    return b.build();
  }();
  for (const Node& node : graph.nodes()) {
    if (node.op == "grouped_conv") {
      EXPECT_EQ(graph.parameter_shapes(node), (std::vector<std::vector<std::int64_t>>{{27, 2, 9}, {9}}));
    }
    if (node.op == "depthwise_conv") {
      EXPECT_EQ(graph.parameter_shapes(node), (std::vector<std::vector<std::int64_t>>{{27, 6}}));
    }
  }
  expect_error<ShapeError>([&] { b.conv(x, {.channels = 8, .groups = 3, .name = "odd"}); },
                           {"'odd'", "groups is 3", "6 channels", "8 output"});
  expect_error<ShapeError>([&] { b.conv(x, {.channels = 8, .groups = 4, .name = "odd"}); },
                           {"'odd'", "groups is 4", "6 channels"});
}

TEST(OffsetLists, of_a_cross_and_of_the_caller) {
  using Offsets = std::vector<std::vector<std::int64_t>>;
  EXPECT_EQ(cross_offsets(2), (Offsets{{-1, 0}, {0, -1}, {0, 0}, {0, 1}, {1, 0}}));
  EXPECT_EQ(cross_offsets(3, 2).size(), 13u);
  expect_error<UsageError>([] { cross_offsets(5); }, {"1 to 4", "5"});
  Builder b;
  const ValueId x = b.sparse_input(2, 3);
  const ValueId y = b.conv(x, {.channels = 4, .offsets = cross_offsets(3)});
  b.output("y", y);
  const Graph graph = b.build();
  EXPECT_EQ(graph.parameter_shapes(graph.nodes().back())[0], (std::vector<std::int64_t>{7, 2, 4}));
  expect_error<UsageError>(
      [&] {
        b.conv(x, {.channels = 4, .offsets = {{0, 0, 0}, {1, 0}}});
      },
      {"one has 3", "another 2"});
  expect_error<ShapeError>([&] { b.conv(x, {.channels = 4, .offsets = {{0, 1}, {1, 0}}}); }, {"4 numbers", "3 dim"});
}

TEST(CallerGivenSites, may_be_any_but_finer_ones) {
  Builder b;
  const ValueId x = b.sparse_input(2, 2, {2}, "x"), other = b.sparse_input(1, 2, {2}, "other");
  EXPECT_EQ(b.space_of(b.conv_to(x, other, {.channels = 3})), b.space_of(other));
  const ValueId fine = b.sparse_input(1, 2, {1}, "fine");
  expect_error<ShapeError>([&] { b.conv_to(x, fine, {.channels = 3}); },
                           {"kernel_map", "'x'", "2 apart", "'fine'", "only 1", "conv_transposed"});
  EXPECT_EQ(b.space_of(b.conv_transposed(x, fine, {.channels = 3, .kernel = {2}, .stride = {2}})), b.space_of(fine));
}

TEST(PoolOps, name_what_is_wrong) {
  Builder b;
  const ValueId x = b.sparse_input(2, 3);
  expect_error<ShapeError>([&] { b.pool(x, "average", {.name = "p"}); },
                           {"'p'", "'average'", "'max', 'mean' and 'sum'"});
  expect_error<ShapeError>([&] { b.add("global_pool", {x, b.space_of(x)}, {}, "g"); }, {"'g'", "samples"});
  const ValueId coarse = b.pool(x, "max", {.kernel = {2}, .stride = {2}});
  EXPECT_EQ(b.type(b.space_of(coarse)).stride, (std::vector<std::int64_t>{2, 2, 2}));
  EXPECT_EQ(b.space_of(b.unpool(coarse, x, {.kernel = {2}, .stride = {2}})), b.space_of(x));
  EXPECT_EQ(b.space_of(b.pool(x, "max", {.kernel = {3}})), b.space_of(x));
  EXPECT_EQ(b.space_of(b.broadcast(b.global_pool(x), x)), b.space_of(x));
}

TEST(Alignment, brings_values_to_one_space) {
  Builder b;
  const ValueId x = b.sparse_input(2, 3), y = b.sparse_input(2, 3, {1}, "y"), z = b.sparse_input(2, 3, {1}, "z");
  const auto same = b.align({x, x}, Sites::united);
  EXPECT_EQ(same, (std::vector<ValueId>{x, x}));
  const auto all = b.align({x, y, z}, Sites::united);
  EXPECT_EQ(b.space_of(all[0]), b.space_of(all[1]));
  EXPECT_EQ(b.space_of(all[0]), b.space_of(all[2]));
  EXPECT_NE(b.space_of(all[0]), b.space_of(x));
  expect_error<UsageError>([&] { b.align({}, Sites::common); }, {"no values"});
  const ValueId coarse = b.pool(x, "max", {.kernel = {2}, .stride = {2}});
  expect_error<ShapeError>([&] { b.add_aligned({x, coarse}); }, {"site_union", "axis 0", "are 1 apart", "are 2"});
  const ValueId flat = b.sparse_input(2, 2, {1}, "flat");
  expect_error<ShapeError>([&] { b.multiply_aligned({x, flat}); }, {"site_intersection", "3 axes", "2"});
}

TEST(Selection, ends_the_part_that_runs_ahead) {
  Builder b;
  const ValueId x = b.sparse_input(2, 3);
  expect_error<ShapeError>([&] { b.select(x); }, {"2 channels", "one score"});
  const ValueId before = b.conv(x, {.channels = 1, .name = "before"});
  const ValueId kept = b.prune(x, before);
  b.output("y", b.conv(kept, {.channels = 3, .kernel = {2}, .stride = {2}, .name = "after"}));
  const Graph graph = b.build();
  const std::vector<bool> ahead = geometry_part(graph);
  for (std::size_t n = 0; n < ahead.size(); ++n) {
    const Node& node = graph.nodes()[n];
    const bool first_map = node.op == "kernel_map" && node.inputs[0] == node.inputs[1];
    EXPECT_EQ(ahead[n], node.op == "input_sparse" || first_map) << node.name;
  }
  EXPECT_EQ(ops_of(graph), (std::vector<std::string>{"input_sparse", "kernel_map", "sparse_conv", "select", "gather",
                                                     "downsample", "kernel_map", "sparse_conv"}));
}

}  // namespace
}  // namespace rarefy
