#include <gtest/gtest.h>

#include <algorithm>

#include "rarefy/error.h"
#include "rarefy/models.h"
#include "support/expect_error.h"

namespace rarefy::models {
namespace {

Graph spvcnn_graph(double width) {
  return build("spvcnn", {.width = width, .classes = 19, .pipeline = semantic_kitti_pipeline()});
}

TEST(Spvcnn, parameters_are_the_published_ones) {
  EXPECT_EQ(spvcnn_graph(1.0).parameters(), 21'778'003);
  EXPECT_EQ(spvcnn_graph(0.5).parameters(), 5'449'267);
}

/// The published forward pass: what the point branch reads, where it returns to the voxels, and the dropouts.
TEST(Spvcnn, the_point_branch_meets_the_voxels_where_it_was_published) {
  const Graph graph = spvcnn_graph(0.5);
  const auto stride_of = [&](ValueId space) { return graph.type(space).stride.at(0); };
  std::vector<std::int64_t> read, written;
  int dropouts = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op == "interpolate") read.push_back(stride_of(graph.type(node.inputs[1]).target));
    if (node.op == "reduce" && graph.producer(node.inputs[1]).op == "locate") {
      written.push_back(stride_of(graph.type(node.outputs[0]).space));
      EXPECT_EQ(node.text("reduction"), "mean");
    }
    if (node.op != "dropout") continue;
    ++dropouts;
    EXPECT_EQ(node.number("ratio"), 0.3);
    EXPECT_EQ(graph.producer(node.inputs[0]).op, "reduce");
  }
  EXPECT_EQ(read, (std::vector<std::int64_t>{16, 4}));  // and 1, where it is the identity
  EXPECT_EQ(written, (std::vector<std::int64_t>{16, 4}));
  EXPECT_EQ(dropouts, 2);
  const auto logits = std::find_if(graph.outputs().begin(), graph.outputs().end(),
                                   [](const GraphOutput& o) { return o.name == "logits"; });
  EXPECT_EQ(stride_of(graph.type(logits->value).space), 1);
}

TEST(Spvcnn, widths_and_settings_that_make_no_sense_are_refused) {
  test::expect_error<UsageError>([] { (void)spvcnn_graph(0.0); }, {"spvcnn", "width is 0"});
  test::expect_error<UsageError>(
      [] {
        (void)build("spvcnn", {.pipeline = semantic_kitti_pipeline(), .settings = {{"levels", 3}}});
      },
      {"spvcnn has no settings", "levels"});
}

TEST(SparseUnet, has_the_depth_and_dimension_that_were_asked_for) {
  for (const std::int64_t dims : {2, 3, 4}) {
    ModelOptions options{.width = 0.5, .classes = 5, .pipeline = semantic_kitti_pipeline(0.2)};
    add_settings({"dims=" + std::to_string(dims), "levels=3", "channels=8", "blocks=1"}, options);
    const Graph graph = build("sparse_unet", options);
    std::int64_t coarsest = 0, blocks = 0;
    for (const Node& node : graph.nodes()) {
      for (const ValueId v : node.outputs) {
        const ValueType& type = graph.type(v);
        if (type.kind != ValueKind::space || type.dims == 0) continue;
        EXPECT_EQ(type.dims, dims);
        coarsest = std::max(coarsest, type.stride[0]);
      }
      blocks += node.op == "sparse_conv" && node.name.find(".conv2") != std::string::npos;
      if (node.name == "stem") {
        EXPECT_EQ(graph.type(node.outputs[0]).channels, 4);
      }
      if (node.name == "down2.res1.conv1") {
        EXPECT_EQ(graph.type(node.outputs[0]).channels, 12);
      }
    }
    EXPECT_EQ(coarsest, 4);
    EXPECT_EQ(blocks, 5);  // three down, two up
  }
}

TEST(SparseUnet, wrong_settings_are_named) {
  const ModelOptions good{.pipeline = semantic_kitti_pipeline()};
  const auto with = [&](const std::string& text) {
    return [=] {
      ModelOptions options = good;
      add_settings({text}, options);
      (void)build("sparse_unet", options);
    };
  };
  test::expect_error<UsageError>(with("levels=0"), {"levels is 0", "1 to 8"});
  test::expect_error<UsageError>(with("dims=5"), {"dims is 5"});
  test::expect_error<UsageError>(with("dims=1"), {"1 axes", "2 to 4"});
  test::expect_error<UsageError>(with("level=3"), {"level", "did you mean", "levels"});
  test::expect_error<UsageError>(with("levels=three"), {"levels=three", "NAME=NUMBER"});
  test::expect_error<UsageError>(with("levels="), {"NAME=NUMBER"});
  test::expect_error<UsageError>(
      [&] {
        ModelOptions options = good;
        options.settings["dims"] = 2;
        (void)build("sparse_unet", options);
      },
      {"dims is 2", "3 axes"});
}

}  // namespace
}  // namespace rarefy::models
