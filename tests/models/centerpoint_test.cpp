#include <gtest/gtest.h>

#include "base/rng.h"
#include "oracle/graph.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

Graph build(const Pipeline& pipeline, double width = 1.0) {
  return models::build("centerpoint", {.width = width, .pipeline = pipeline});
}

std::int64_t conv(std::int64_t volume, std::int64_t in, std::int64_t out) { return volume * in * out + 2 * out; }

TEST(CenterPoint, parameters_are_those_of_the_published_layers) {
  std::int64_t expected = conv(27, 4, 16) + conv(27, 16, 32) + conv(27, 32, 64) + conv(27, 64, 128) + conv(3, 128, 128);
  for (const std::int64_t c : {16, 32, 64, 128}) expected += 4 * (conv(27, c, c) + c);  // the blocks have a bias
  EXPECT_EQ(build(models::nuscenes_detection_pipeline()).parameters(), expected);
}

TEST(CenterPoint, the_map_from_above_has_the_published_size) {
  const Graph graph = build(models::nuscenes_detection_pipeline());
  const ValueId bev = graph.outputs()[1].value;
  EXPECT_EQ(graph.outputs()[1].name, "bev");
  EXPECT_EQ(graph.type(bev).channels, 256);
  Session session(Model(graph, initial_weights(graph, 1), models::nuscenes_detection_pipeline()));
  EXPECT_EQ(session.run({{"points", PointView{}}})["bev"].rows, 180 * 180);
}

TEST(CenterPoint, equals_the_oracle) {
  Pipeline pipeline = models::nuscenes_detection_pipeline();
  pipeline.voxel_size = {0.25, 0.25, 0.2};
  pipeline.crop_min = {-2.1, -2.2, -1.0};
  pipeline.crop_max = {1.9, 1.8, 2.2};
  const Graph graph = build(pipeline, 0.25);
  const Weights weights = initial_weights(graph, 3);
  Rng rng(5);
  std::vector<float> points;
  for (int p = 0; p < 600; ++p)
    for (const double reach : {2.5, 2.5, 1.5, 1.0}) points.push_back(static_cast<float>(rng.uniform(-reach, reach)));
  const OpExample::Data data{"points", {}, points, 600, 4, {0, 250, 600}, -1};
  const auto expected = oracle::run(graph, weights, {data});
  Session session(Model(graph, weights, pipeline));
  PointView view{points.data(), 600, 16, {0, 4, 8, 12}};
  view.sample_begin = data.sample_begin;
  const Outputs& found = session.run({{"points", view}});
  for (const char* output : {"encoded", "bev"})
    test::expect_matches(found, output, expected.at(std::string("=") + output), 1e-4);
}

TEST(CenterPoint, needs_a_crop) {
  test::expect_error<UsageError>([] { build(models::semantic_kitti_pipeline(0.1)); }, {"crop", "nuscenes"});
}

}  // namespace
}  // namespace rarefy
