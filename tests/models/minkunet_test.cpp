#include <gtest/gtest.h>

#include <map>

#include "rarefy/error.h"
#include "rarefy/models.h"

namespace rarefy::models {
namespace {

Graph build(double width, std::int64_t classes = 19) {
  return at("minkunet").build({.width = width, .classes = classes, .pipeline = semantic_kitti_pipeline()});
}

/// Sizes of a scan by level: rows of the spaces, pairs of their 3x3x3 maps. Pairs of a 2x2x2 map equal the finer rows.
Sizes sizes_of(const Graph& graph, const std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>>& by_stride) {
  Sizes sizes;
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const ValueType& type = graph.values()[v].type;
    const auto value = static_cast<ValueId>(v);
    if (type.kind == ValueKind::space && type.dims > 0) sizes[value] = by_stride.at(type.stride[0]).first;
    if (type.kind == ValueKind::space && type.dims == 0) sizes[value] = 0;
    if (type.kind != ValueKind::map) continue;
    const std::int64_t from = graph.type(type.space).stride[0], to = graph.type(type.target).stride[0];
    sizes[value] = from == to ? by_stride.at(from).second : by_stride.at(std::min(from, to)).first;
  }
  return sizes;
}

TEST(MinkUNet, parameters_are_the_published_ones) {
  EXPECT_EQ(build(1.0).parameters(), 21'723'315);
  EXPECT_EQ(build(0.64).parameters(), 8'771'298);
  EXPECT_EQ(build(0.5).parameters(), 5'435'235);
}

TEST(MinkUNet, multiply_adds_of_the_published_scan) {
  // Level sizes and pairs of the scan that the published table was recomputed on; figures without the classifier.
  const std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> levels = {{1, {94'626, 286'268}},
                                                                                {2, {68'931, 309'177}},
                                                                                {4, {42'166, 267'752}},
                                                                                {8, {21'525, 166'517}},
                                                                                {16, {9'522, 82'740}}};
  const std::map<double, double> expected = {{1.0, 137.53}, {0.64, 55.42}, {0.5, 34.39}};
  for (const auto& [width, giga] : expected) {
    const Graph graph = build(width);
    const Sizes sizes = sizes_of(graph, levels);
    std::int64_t macs = 0;
    for (const Node& node : graph.nodes())
      if (node.name != "classifier") macs += multiply_adds(graph, node, sizes);
    EXPECT_NEAR(static_cast<double>(macs) / 1e9, giga, 0.005 + 1e-9) << "width " << width;
  }
}

TEST(MinkUNet, multiply_adds_of_a_kitti_scan_with_classifier) {
  const std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> levels = {{1, {90'695, 301'213}},
                                                                                {2, {64'066, 330'888}},
                                                                                {4, {37'870, 273'098}},
                                                                                {8, {18'295, 165'613}},
                                                                                {16, {7'527, 77'581}}};
  EXPECT_NEAR(static_cast<double>(multiply_adds(build(1.0), sizes_of(build(1.0), levels))) / 1e9, 137.1, 137.1 * 0.005);
  EXPECT_NEAR(static_cast<double>(multiply_adds(build(0.5), sizes_of(build(0.5), levels))) / 1e9, 34.3, 34.3 * 0.005);
}

TEST(MinkUNet, maps_are_shared) {
  const Graph graph = build(1.0);
  int maps = 0, spaces = 0, convs = 0;
  for (const Node& node : graph.nodes()) {
    maps += node.op == "kernel_map";
    spaces += node.op == "downsample";
    convs += node.op == "sparse_conv";
  }
  EXPECT_EQ(maps, 9);  // five submanifold, four strided
  EXPECT_EQ(spaces, 4);
  EXPECT_EQ(convs, 42);
}

TEST(Models, unknown_names_and_widths_are_refused) {
  EXPECT_THROW(at("minkunett"), UsageError);
  EXPECT_THROW(build(0.0), UsageError);
  EXPECT_THROW(at("minkunet").build({.width = 1.0, .classes = 19, .pipeline = {}}), UsageError);
}

}  // namespace
}  // namespace rarefy::models
