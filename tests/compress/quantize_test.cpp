// Post-training quantization: what becomes integer, and that it computes what the rounded real numbers say.
#include "compress/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "compress/small_network.h"
#include "kernels/conv_int8.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

using test::relative_error, test::small_network, test::some_points, test::view_of;
using testing::HasSubstr;

Model quantized(const Model& model, const std::vector<float>& points, const QuantizeOptions& options = {}) {
  Calibration calibration(model);
  calibration.observe({{"points", view_of(points)}});
  return calibration.quantize(options);
}

TEST(Quantize, all_layers_but_those_that_read_the_input_become_integer) {
  const Model model = small_network(1);
  const Model result = quantized(model, some_points(1, 3000));
  std::map<std::string, std::int64_t> bits;
  for (const Node& node : result.graph().nodes())
    if (node.op == "sparse_conv" || node.op == "linear") bits[node.name] = node.integer("weight_bits");
  std::int64_t real = 0;
  for (const auto& [name, b] : bits) real += b == 0 ? 1 : 0;
  EXPECT_EQ(real, 1) << "only the first convolution reads what no layer made";
  EXPECT_EQ(bits.at("classifier"), 8);
  const std::string plan = Plan::compile(result)->to_text();
  EXPECT_THAT(plan, HasSubstr("sparse_conv+batch_norm+relu+quantize"));
  EXPECT_THAT(plan, HasSubstr("sparse_conv+batch_norm+add+relu+quantize"));
  EXPECT_THAT(plan, HasSubstr(" bytes"));
}

TEST(Quantize, integers_compute_what_rounded_real_numbers_say) {
  for (const int bits : {8, 7, 4}) {
    for (const std::uint64_t seed : {1, 2}) {
      const auto points = some_points(seed, 4000);
      const Model model = quantized(small_network(seed), points, {.bits = bits});
      Session integers(model), reals(model, {.plan = {.fuse = false, .integers = false}});
      const double difference = relative_error(integers.run({{"points", view_of(points)}})["logits"],
                                               reals.run({{"points", view_of(points)}})["logits"]);
      // A sum that lies at the edge of two steps may be rounded to either: that moves few values by a little.
      EXPECT_LT(difference, 0.02) << bits << " bits, seed " << seed;
    }
  }
}

TEST(Quantize, result_is_near_the_original) {
  const Model model = small_network(3);
  const auto points = some_points(3, 4000);
  const auto error = [&](int bits) {
    Session original(model), integers(quantized(model, points, {.bits = bits}));
    return relative_error(integers.run({{"points", view_of(points)}})["logits"],
                          original.run({{"points", view_of(points)}})["logits"]);
  };
  const double eight = error(8), six = error(6), four = error(4);
  EXPECT_LT(eight, 0.05);
  EXPECT_LT(eight, six);
  EXPECT_LT(six, four);
}

/// Its features are read by layers and by transfers between points and voxels, which take real numbers.
TEST(Quantize, layers_whose_input_is_read_otherwise_too_run_on_integers) {
  const models::ModelOptions options{.width = 0.25, .classes = 5, .pipeline = models::semantic_kitti_pipeline(0.2)};
  Graph graph = models::build("spvcnn", options);
  Weights weights = initial_weights(graph, 5);
  const Model model(std::move(graph), std::move(weights), options.pipeline);
  const auto points = some_points(5, 4000);
  const Model result = quantized(model, points);
  Session original(model), integers(result), reals(result, {.plan = {.fuse = false, .integers = false}});
  const TensorView found = integers.run({{"points", view_of(points)}})["logits"];
  EXPECT_LT(relative_error(found, reals.run({{"points", view_of(points)}})["logits"]), 0.02);
  EXPECT_LT(relative_error(found, original.run({{"points", view_of(points)}})["logits"]), 0.2);
  // The first layer, and those that read what transfers between points and voxels make.
  std::set<std::string> real;
  for (const Node& node : result.graph().nodes())
    if ((node.op == "sparse_conv" || node.op == "linear") && node.integer("weight_bits") == 0) real.insert(node.name);
  EXPECT_THAT(real,
              testing::UnorderedElementsAre("stem.conv1", "up1.conv", "up3.conv", "point2.linear", "point3.linear"));
  const std::string_view on_integers = select_int8_variant(8).name, on_reals = name(select_conv_variant());
  int layers = 0;
  for (const StepProfile& step : integers.profile()) {
    if (step.op.rfind("sparse_conv", 0) != 0 && step.op.rfind("linear", 0) != 0) continue;
    ++layers;
    EXPECT_EQ(step.variant, real.contains(step.name) ? on_reals : on_integers) << step.name;
  }
  EXPECT_GT(layers, 40);
}

TEST(Quantize, same_bits_for_any_number_of_threads_and_after_the_model_file) {
  const auto points = some_points(4, 5000);
  const Model model = quantized(small_network(4), points);
  const Model loaded = Model::parse(model.serialize(), "memory");
  std::vector<std::vector<std::uint8_t>> results;
  for (const int threads : {1, 4}) {
    Session a(model, {.threads = threads}), b(loaded, {.threads = threads});
    for (int run = 0; run < 2; ++run) {
      results.push_back(test::bits_of(a.run({{"points", view_of(points)}})["logits"]));
      results.push_back(test::bits_of(b.run({{"points", view_of(points)}})["logits"]));
    }
  }
  for (const auto& result : results) EXPECT_EQ(result, results.front());
}

TEST(Quantize, features_that_meet_in_a_concatenation_share_a_scale) {
  const Model model = quantized(small_network(5), some_points(5, 2000));
  const Graph& graph = model.graph();
  int met = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != "concat") continue;
    ++met;
    std::set<float> scales;
    for (const ValueId v : node.inputs) {
      ASSERT_EQ(graph.producer(v).op, "quantize");
      scales.insert(model.weights().resolve(graph.producer(v).parameters[0]).as<float>()[0]);
    }
    EXPECT_EQ(scales.size(), 1u) << node.name;
  }
  EXPECT_EQ(met, 4);
}

TEST(Quantize, says_what_is_missing) {
  const Model model = small_network(6);
  Calibration calibration(model);
  test::expect_error<UsageError>([&] { (void)calibration.quantize({}); }, {"nothing was observed"});
  Builder b;
  b.output("y", b.linear(b.sparse_input(3, 2), 4));
  const Graph graph = b.build();
  test::expect_error<UnsupportedError>([&] { Calibration(Model(graph, initial_weights(graph, 1))); },
                                       {"nothing to quantize"});
  const auto points = some_points(6, 100);
  calibration.observe({{"points", view_of(points)}});
  test::expect_error<UsageError>([&] { (void)calibration.quantize({.bits = 9}); }, {"2 to 8 bits, not 9"});
}

TEST(Quantize, a_scale_that_is_no_positive_number_is_named) {
  Model model = quantized(small_network(7), some_points(7, 500));
  Weights weights = model.weights();
  std::string name;
  for (const Node& node : model.graph().nodes())
    if (node.op == "quantize") name = node.parameters[0].name;
  weights.mutable_at(name).mutable_as<float>()[0] = 0.0f;
  test::expect_error<UsageError>([&] { Plan::compile(Model(model.graph(), weights)); }, {name, "positive"});
}

TEST(Quantize, layers_may_keep_real_numbers_beside_integer_ones_of_their_group) {
  const Model model = small_network(9);
  const auto points = some_points(9, 4000);
  // Reads a concatenation, as the shortcut beside it does; and one in the middle of a block.
  const Model mixed =
      quantized(model, points, {.layers = {{"up1.res1.conv1", 0}, {"down2.res1.conv2", 0}, {"up4.res2.conv2", 0}}});
  std::map<std::string, std::int64_t> bits;
  for (const Node& node : mixed.graph().nodes())
    if (node.op == "sparse_conv" || node.op == "linear") bits[node.name] = node.integer("weight_bits");
  EXPECT_EQ(bits.at("up1.res1.conv1"), 0);
  EXPECT_EQ(bits.at("up1.res1.shortcut"), 8);
  Session session(mixed), reals(mixed, {.plan = {.fuse = false, .integers = false}});
  const auto a = test::bits_of(session.run({{"points", view_of(points)}})["logits"]);
  for (const StepProfile& step : session.profile()) {
    const auto layer = bits.find(step.name);
    if (layer == bits.end()) continue;
    const std::string_view wanted = layer->second != 0 ? select_int8_variant(8).name : name(select_conv_variant());
    EXPECT_EQ(step.variant, wanted) << step.name;
  }
  EXPECT_LT(test::relative_error(session.run({{"points", view_of(points)}})["logits"],
                                 reals.run({{"points", view_of(points)}})["logits"]),
            0.02);
}

TEST(Quantize, bits_of_single_layers_are_checked) {
  const Model model = small_network(10);
  const auto points = some_points(10, 500);
  const auto with = [&](std::map<std::string, int> layers) {
    return [&model, &points, layers] { (void)quantized(model, points, {.layers = layers}); };
  };
  test::expect_error<UsageError>(with({{"up1.res1.conv", 0}}), {"'up1.res1.conv' is no layer", "up1.res1.conv1"});
  test::expect_error<UsageError>(with({{"stem.conv1", 8}}), {"'stem.conv1' is no layer that can be quantized"});
  test::expect_error<UsageError>(with({{"classifier", 9}}), {"2 to 8 bits, not 9"});
  test::expect_error<UsageError>(with({{"up1.res1.shortcut", 7}}),
                                 {"up1.res1.shortcut", "7 bits", "8 bits", "share a scale"});
}

TEST(Magnitudes, scale_follows_the_rule) {
  Magnitudes seen;
  std::vector<float> values(100'000);
  Rng rng(8);
  for (float& v : values) v = static_cast<float>(std::abs(rng.normal()));
  values[0] = 50.0f;  // an outlier
  seen.add({values.data(), 1000, 100, 100});
  EXPECT_FALSE(seen.negative());
  EXPECT_EQ(seen.largest(), 50.0f);
  EXPECT_FLOAT_EQ(seen.scale(8, ScaleRule::minmax), 50.0f / 255);
  EXPECT_NEAR(seen.scale(8, ScaleRule::percentile), 3.89 / 255, 0.4 / 255);  // 99.99 % of |N(0, 1)|
  // The share with the least error lies between: clipping the outlier costs less than coarse steps for all others.
  const float best = seen.scale(8, ScaleRule::mse);
  EXPECT_LT(best, 50.0f / 255);
  EXPECT_GE(best, 0.3f * 50.0f / 255 * 0.999f);
  const std::vector<float> below{-100.0f};
  seen.add({below.data(), 1, 1, 1});
  EXPECT_TRUE(seen.negative());
  EXPECT_FLOAT_EQ(seen.scale(8, ScaleRule::minmax), 100.0f / 127);
  EXPECT_EQ(Magnitudes().scale(8, ScaleRule::mse), 1.0f);
}

}  // namespace
}  // namespace rarefy::compress
