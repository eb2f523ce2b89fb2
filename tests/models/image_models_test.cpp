/// MobileNetV2 and Swin: parameters and multiply-adds as published; whole networks against the graph oracle.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "rarefy/error.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::models {
namespace {

using Settings = std::map<std::string, std::int64_t>;

Graph of(const std::string& builder, Settings settings, std::int64_t classes = 1000) {
  return build(builder, {.classes = classes, .settings = std::move(settings)});
}

std::vector<float> random_image(std::int64_t pixels, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> image(static_cast<std::size_t>(3 * pixels));
  for (float& v : image) v = static_cast<float>(rng.uniform(0, 1));
  return image;
}

/// Of one image, in 1e9.
double giga(const Graph& graph, std::int64_t side) {
  Session session(Model(graph, initial_weights(graph, 1)), {.threads = 2});
  const auto image = random_image(side * side, 2);
  (void)session.run(
      {{"image", TensorView{const_cast<float*>(image.data()), Dtype::f32, Device::cpu, side * side, 3, 3}}});
  return static_cast<double>(session.statistics().macs) / 1e9;
}

TEST(MobileNet, parameters_are_the_published_ones) {
  EXPECT_EQ(of("mobilenet_v2", {}).parameters(), 3'504'872);
  // Folded: 52 convolutions have a bias instead of scale and shift; 17,056 channels are normalised.
  EXPECT_EQ(of("mobilenet_v2", {{"norms", 0}}).parameters(), 3'504'872 - 17'056);
}

TEST(MobileNet, multiply_adds_are_the_published_ones) { EXPECT_NEAR(giga(of("mobilenet_v2", {}), 224), 0.300, 0.002); }

/// Fresh weights are so small that all tokens look alike; larger ones tell them apart.
Weights lively(const Graph& graph, std::uint64_t seed) {
  Weights weights = initial_weights(graph, seed);
  const Weights names = weights;
  Rng rng(seed);
  for (const auto& [name, unused] : names.all())
    if (name.find("norm") == std::string::npos && name.find("running") == std::string::npos)
      for (float& v : weights.mutable_at(name).mutable_as<float>()) v = static_cast<float>(rng.normal() * 0.2);
  return weights;
}

/// A batch of two images, for one and three threads.
void expect_oracle(const Graph& graph, std::int64_t height, std::int64_t width,
                   const std::vector<std::string>& outputs) {
  const Weights weights = lively(graph, 5);
  const std::int64_t pixels = height * width;
  OpExample::Data data{"image", {}, random_image(2 * pixels, 4), 2 * pixels, 3, {0, pixels, 2 * pixels}, -1};
  const auto expected = oracle::run(graph, weights, {data});
  for (const int threads : {1, 3}) {
    Session session(Model(graph, weights), {.threads = threads});
    const TensorView rows{data.values.data(), Dtype::f32, Device::cpu, data.rows, 3, 3};
    const Outputs& found = session.run({{"image", RowsView{rows, data.sample_begin}}});
    for (const std::string& output : outputs) test::expect_matches(found, output, expected.at("=" + output), 2e-4);
  }
}

TEST(MobileNet, of_any_size_equals_the_oracle) {
  for (const std::int64_t norms : {0, 1})
    expect_oracle(build("mobilenet_v2",
                        {.width = 0.1, .classes = 5, .settings = {{"height", 37}, {"width", 22}, {"norms", norms}}}),
                  37, 22, {"logits"});
}

TEST(Swin, parameters_are_the_published_ones) {
  EXPECT_EQ(of("swin", {}).parameters(), 28'288'354);                                            // Swin-T
  EXPECT_EQ(of("swin", {{"depth3", 18}}).parameters(), 49'606'258);                              // Swin-S
  EXPECT_EQ(of("swin", {{"depth3", 18}, {"dim", 128}, {"heads", 4}}).parameters(), 87'768'224);  // Swin-B
}

TEST(Swin, multiply_adds_are_the_published_ones) { EXPECT_NEAR(giga(of("swin", {}), 224), 4.49, 0.03); }

const Settings kTiny{{"dim", 6},    {"heads", 2},  {"window", 3}, {"depth1", 2},  {"depth2", 3},
                     {"depth3", 0}, {"hidden", 2}, {"patch", 2},  {"head_dim", 5}};

Settings tiny(Settings more) {
  more.insert(kTiny.begin(), kTiny.end());
  return more;
}

/// Grids that windows and patches do not divide, all policies.
TEST(Swin, equals_the_oracle_with_every_policy) {
  const std::vector<Settings> policies = {{},
                                          {{"select", 1}, {"drop", 60}},
                                          {{"select", 2}, {"drop", 50}, {"dense_blocks", 1}},
                                          {{"select", 3}, {"drop", 40}, {"light", 1}}};
  for (const Settings& policy : policies) {
    Settings settings = tiny(policy);
    settings.insert({{"height", 27}, {"width", 14}, {"head", 1}});
    expect_oracle(of("swin", settings, 4), 27, 14, {"logits", "pixel_logits"});
  }
}

TEST(Swin, has_heads_for_classes_and_boxes) {
  expect_oracle(of("swin", tiny({{"image", 24}}), 7), 24, 24, {"logits"});
  expect_oracle(of("swin", tiny({{"image", 24}, {"head", 2}}), 3), 24, 24, {"heatmap", "boxes"});
}

TEST(Swin, reads_the_convolutions_of_a_mobilenet) {
  const Graph graph =
      of("swin", tiny({{"height", 27}, {"width", 37}, {"head", 1}, {"stem", 1}, {"select", 1}, {"drop", 50}}), 4);
  expect_oracle(graph, 27, 37, {"logits", "pixel_logits"});
  EXPECT_EQ(image_size(graph)->height, 27);
  EXPECT_EQ(image_size(graph)->width, 37);
}

TEST(ImageModels, name_what_is_wrong) {
  test::expect_error<UsageError>([] { of("swin", {{"heads", 5}}); }, {"96 channels", "5 heads"});
  test::expect_error<UsageError>([] { of("swin", {{"depth1", 0}}); }, {"depth1 is 0"});
  test::expect_error<UsageError>([] { of("swin", {{"drop", 50}}); }, {"drop", "need select"});
  test::expect_error<UsageError>([] { of("swin", {{"select", 1}, {"drop", 100}}); }, {"drop is 100", "0 to 99"});
  test::expect_error<UsageError>([] { of("swin", {{"head", 1}}, 256); }, {"256 classes", "1 to 255"});
  test::expect_error<UsageError>([] { of("swin", {{"height", -3}}); }, {"-3 lines", "1 to 32768"});
  test::expect_error<UsageError>([] { of("mobilenet_v2", {{"norms", 2}}); }, {"norms is 2"});
}

}  // namespace
}  // namespace rarefy::models
