// Weights in 16 bits: in the model, in its file, and what a runtime makes of them.
#include "compress/half.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "base/rng.h"
#include "compress/quantize.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

using testing::HasSubstr;

Model small_network() {
  const Pipeline pipeline = models::semantic_kitti_pipeline(0.2);
  const Graph graph = models::at("minkunet").build({.width = 0.2, .pipeline = pipeline});
  Model model(graph, initial_weights(graph, 3), pipeline);
  model.notes["licence"] = "Apache-2.0";
  return model;
}

std::vector<float> some_points(std::int64_t count) {
  Rng rng(4);
  std::vector<float> points;
  for (std::int64_t i = 0; i < count; ++i)
    points.insert(points.end(), {static_cast<float>(rng.uniform(-5, 5)), static_cast<float>(rng.uniform(-5, 5)),
                                 static_cast<float>(0.2 * rng.normal()), static_cast<float>(rng.uniform())});
  return points;
}

PointView view_of(const std::vector<float>& points) {
  return {points.data(), static_cast<std::int64_t>(points.size() / 4), 16, {0, 4, 8, 12}};
}

TEST(Halve, rounds_the_weights_of_layers_and_nothing_else) {
  const Model model = small_network();
  const Model half = halve(model);
  int rounded = 0;
  for (const auto& [name, tensor] : half.weights().all()) {
    const Tensor& before = model.weights().at(name);
    ASSERT_EQ(tensor.shape(), before.shape());
    if (tensor.dtype() == Dtype::f32) {
      EXPECT_EQ(tensor.data(), before.data()) << name << " was copied";
      continue;
    }
    ASSERT_EQ(tensor.dtype(), Dtype::f16) << name;
    ++rounded;
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      const auto u = static_cast<std::size_t>(i);
      ASSERT_EQ(tensor.as<Half>()[u], narrow(before.as<float>()[u])) << name;
    }
  }
  EXPECT_EQ(rounded, std::count_if(model.graph().nodes().begin(), model.graph().nodes().end(),
                                   [](const Node& node) { return node.op == "sparse_conv" || node.op == "linear"; }));
  EXPECT_EQ(half.notes, model.notes);
  EXPECT_EQ(halve(half).serialize(), half.serialize()) << "once more changes nothing";
}

TEST(Halve, the_file_is_half_as_large_and_says_it_all) {
  const Model half = halve(small_network());
  const std::vector<std::uint8_t> bytes = half.serialize();
  EXPECT_LT(static_cast<double>(bytes.size()), 0.6 * static_cast<double>(small_network().serialize().size()));
  EXPECT_THAT(std::string(bytes.begin(), bytes.begin() + 100'000), HasSubstr("\"F16\""));
  const Model loaded = Model::parse(bytes, "memory");
  EXPECT_EQ(loaded.serialize(), bytes);
  const auto points = some_points(2000);
  Session a(half), b(loaded), real(small_network());
  const auto logits = test::bits_of(a.run({{"points", view_of(points)}})["logits"]);
  EXPECT_EQ(test::bits_of(b.run({{"points", view_of(points)}})["logits"]), logits);
  EXPECT_NE(test::bits_of(real.run({{"points", view_of(points)}})["logits"]), logits);
  int halves = 0;
  for (const StepProfile& step : b.profile()) halves += step.variant.find("_half") != std::string::npos ? 1 : 0;
  EXPECT_GT(halves, 20);
}

TEST(Halve, integers_and_halves_live_side_by_side) {
  const auto points = some_points(2000);
  const Inputs inputs{{"points", view_of(points)}};
  Calibration calibration(halve(small_network()));
  calibration.observe(inputs);
  const Model quantized = calibration.quantize({});
  Session mixed(quantized), real(quantized, {.plan = {.integers = false, .storage = Storage::real}});
  const TensorView a = mixed.run(inputs)["logits"], b = real.run(inputs)["logits"];
  double squares = 0, difference = 0;
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t c = 0; c < a.cols; ++c) {
      squares += std::pow(b.matrix<float>()(r, c), 2);
      difference += std::pow(a.matrix<float>()(r, c) - b.matrix<float>()(r, c), 2);
    }
  EXPECT_LT(std::sqrt(difference / squares), 0.02);
  int halves = 0, integers = 0;
  for (const StepProfile& step : mixed.profile()) {
    const bool half = step.variant.find("_half") != std::string::npos;
    const bool layer = step.op.rfind("sparse_conv", 0) == 0 || step.op.rfind("linear", 0) == 0;
    halves += half ? 1 : 0;
    integers += layer && !half ? 1 : 0;
  }
  EXPECT_EQ(halves, 1) << "the first layer, which reads the input";
  EXPECT_GT(integers, 20);
}

TEST(Halve, says_what_does_not_fit) {
  Builder b;
  b.output("y", b.linear(b.sparse_input(3, 2), 4, true, "head"));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 1);
  weights.mutable_at("head.weight").mutable_as<float>()[5] = -70000.0f;
  test::expect_error<UnsupportedError>([&] { (void)halve(Model(graph, weights)); }, {"head.weight", "-70000", "65504"});
  Builder empty;
  empty.output("y", empty.relu(empty.sparse_input(3, 2)));
  test::expect_error<UnsupportedError>([&] { (void)halve(Model(empty.build(), {})); }, {"nothing to keep in 16 bits"});
}

}  // namespace
}  // namespace rarefy::compress
