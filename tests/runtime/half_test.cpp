// Plans that keep weights and features in 16 bits.
#include "base/half.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/random_cases.h"
#include "support/random_points.h"

namespace rarefy {
namespace {

using testing::HasSubstr;
using testing::Not;

using test::surface_points;

PointView view_of(const std::vector<float>& points) {
  return {points.data(), static_cast<std::int64_t>(points.size()) / 4, 16, {0, 4, 8, 12}};
}

Model make_model(const std::string& builder, double width) {
  const Pipeline pipeline = models::semantic_kitti_pipeline(0.1);
  const Graph graph = models::at(builder).build({.width = width, .classes = 19, .pipeline = pipeline});
  return Model(graph, initial_weights(graph, 5), pipeline);
}

/// The model with its layers' weights in 16 bits.
Model in_halves(const Model& model) {
  Weights weights = model.weights();
  for (const Node& node : model.graph().nodes()) {
    if (node.op != "sparse_conv" && node.op != "linear") continue;
    const std::string& name = node.parameters[0].name;
    Tensor halves(Dtype::f16, weights.at(name).shape());
    const auto from = weights.at(name).as<float>();
    std::transform(from.begin(), from.end(), halves.mutable_as<Half>().begin(), [](float v) { return narrow(v); });
    weights.set(name, std::move(halves));
  }
  return Model(model.graph(), weights, model.pipeline());
}

/// Root of the mean squared difference, relative to that of the values.
double difference(const TensorView& found, const TensorView& expected) {
  double squares = 0, sum = 0;
  for (std::int64_t r = 0; r < expected.rows; ++r)
    for (std::int64_t c = 0; c < expected.cols; ++c) {
      const double v = expected.matrix<float>()(r, c), d = found.matrix<float>()(r, c) - v;
      squares += v * v;
      sum += d * d;
    }
  return std::sqrt(sum / squares);
}

int steps_in_halves(const Session& session) {
  int count = 0;
  for (const StepProfile& step : session.profile()) count += step.variant.find("_half") != std::string::npos ? 1 : 0;
  return count;
}

TEST(HalfPlan, networks_differ_from_fp32_by_rounding_only) {
  const std::vector<float> points = surface_points(3000, Rng(1));
  const Inputs inputs{{"points", view_of(points)}};
  for (const models::ModelDef& def : models::labelling()) {
    SCOPED_TRACE(def.name);
    const Model model = make_model(def.name, 0.25);
    Session real(model), half(model, {.plan = {.storage = Storage::half}});
    const TensorView& logits = real.run(inputs)["logits"];
    const TensorView& found = half.run(inputs)["logits"];
    EXPECT_EQ(found.dtype, Dtype::f32);
    const double relative = difference(found, logits);
    EXPECT_GT(relative, 1e-6) << "nothing was rounded";
    EXPECT_LT(relative, 5e-3);
    EXPECT_EQ(steps_in_halves(real), 0);
    EXPECT_GT(steps_in_halves(half), 3);
    for (const StepProfile& step : half.profile())
      EXPECT_EQ(step.variant.find("_half") != std::string::npos,
                step.op.rfind("sparse_conv", 0) == 0 || step.op.rfind("linear", 0) == 0)
          << step.name;
  }
}

TEST(HalfPlan, features_take_half_the_memory_and_concatenations_lie_in_place) {
  const Model model = make_model("minkunet_small", 8.0);  // features outweigh maps
  const std::vector<float> points = surface_points(3000, Rng(2));
  Session real(model), half(model, {.plan = {.storage = Storage::half}});
  (void)real.run({{"points", view_of(points)}});
  (void)half.run({{"points", view_of(points)}});
  const Sizes& sizes = real.statistics().sizes;
  EXPECT_LT(static_cast<double>(half.plan().expected_memory(sizes)),
            0.62 * static_cast<double>(real.plan().expected_memory(sizes)));
  EXPECT_LT(half.context().memory_bytes(), real.context().memory_bytes() * 8 / 10);
  const std::string text = half.plan().to_text();
  EXPECT_THAT(text, HasSubstr("(weights in 16 bits)"));
  int inside = 0, at = 0;
  for (std::size_t line = 0; (line = text.find(" halves\n", line)) != std::string::npos; ++line) ++at;
  for (std::size_t line = 0; (line = text.find(" column ", line)) != std::string::npos; ++line)
    inside += text.compare(line, 11, " column 0 of") != 0 && text[line + 8] != '0' ? 1 : 0;
  EXPECT_GT(at, 8);
  EXPECT_GT(inside, 0) << "a skip lies behind the first columns of its concatenation\n" << text;
  EXPECT_THAT(real.plan().to_text(), Not(HasSubstr("halves")));
}

TEST(HalfPlan, same_bits_for_any_number_of_threads_any_layout_and_from_weights_in_halves) {
  const std::vector<float> points = surface_points(4000, Rng(3));
  const Inputs inputs{{"points", view_of(points)}};
  for (const char* name : {"minkunet_small", "spvcnn"}) {
    SCOPED_TRACE(name);
    const Model model = make_model(name, 0.25), halves = in_halves(model);
    Session one(model, {.plan = {.storage = Storage::half}});
    const auto expected = test::bits_of(one.run(inputs)["logits"]);
    Session four(model, {.threads = 4, .plan = {.storage = Storage::half}});
    Session apart(model, {.plan = {.share_memory = false, .storage = Storage::half}});
    Session as_weights(halves);
    EXPECT_EQ(test::bits_of(four.run(inputs)["logits"]), expected);
    EXPECT_EQ(test::bits_of(four.run(inputs)["logits"]), expected) << "again";
    EXPECT_EQ(test::bits_of(apart.run(inputs)["logits"]), expected);
    EXPECT_EQ(test::bits_of(as_weights.run(inputs)["logits"]), expected);
    EXPECT_GT(steps_in_halves(as_weights), 3);
    Session real(halves, {.plan = {.storage = Storage::real}});
    EXPECT_NE(test::bits_of(real.run(inputs)["logits"]), expected);
    EXPECT_EQ(steps_in_halves(real), 0);
  }
}

/// x -> conv a; gelu(conv b); their concatenation, dropout, conv; residual block. What no layer makes stays fp32.
Graph mixed_graph() {
  Builder b;
  const ValueId x = b.sparse_input(3, 3);
  const ValueId a = b.relu(b.conv(x, {.channels = 5, .bias = true, .name = "a"}));
  const ValueId other = b.add("gelu", {b.conv(x, {.channels = 4, .name = "b"})})[0];
  const ValueId joined = b.conv(b.dropout(b.concat({a, other})), {.channels = 6, .name = "c"});
  const ValueId block = b.batch_norm(b.conv(b.relu(joined), {.channels = 6, .name = "d"}));
  const ValueId sum = b.relu(b.add_values(block, joined));
  const ValueId both = b.concat({b.linear(sum, 3, true, "e"), b.conv(sum, {.channels = 7, .name = "f"})});
  b.output("middle", a);
  b.output("y", b.linear(both, 4, true, "g"));
  return b.build();
}

TEST(HalfPlan, what_cannot_be_halved_stays_real_around_it) {
  const Graph graph = mixed_graph();
  test::for_random_cases(10, [&](Rng& rng) {
    const std::int64_t rows = rng.integer(0, 300);
    std::vector<std::int32_t> coords;
    std::vector<float> features;
    for (std::int64_t r = 0; r < rows; ++r) {
      coords.insert(coords.end(), {0, static_cast<std::int32_t>(r / 36), static_cast<std::int32_t>(r / 6 % 6),
                                   static_cast<std::int32_t>(r % 6)});
      for (int c = 0; c < 3; ++c) features.push_back(static_cast<float>(rng.normal()));
    }
    const Inputs inputs{{"x", SparseView{coords.data(), {features.data(), Dtype::f32, Device::cpu, rows, 3, 3}, 1}}};
    const Model model(graph, initial_weights(graph, rng.bits()));
    Session real(model);
    const auto& expected = real.run(inputs);
    for (const bool fuse : {true, false}) {
      Session half(model, {.plan = {.fuse = fuse, .storage = Storage::half}});
      const auto& found = half.run(inputs);
      EXPECT_EQ(steps_in_halves(half), 7);
      if (rows == 0) continue;
      for (const char* output : {"middle", "y"}) {
        EXPECT_EQ(found[output].dtype, Dtype::f32);
        EXPECT_LT(difference(found[output], expected[output]), 5e-3) << output;
      }
    }
  });
  const std::string text =
      Plan::compile(Model(graph, initial_weights(graph, 1)), {.storage = Storage::half})->to_text();
  const auto line_of = [&](const std::string& start) {
    const auto at = text.find("\n" + start + " ");
    return text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  };
  EXPECT_THAT(line_of("a"), Not(HasSubstr("halves"))) << "an output";
  EXPECT_THAT(line_of("b"), Not(HasSubstr("halves"))) << "gelu reads it";
  for (const char* layer : {"d", "e", "f"}) EXPECT_THAT(line_of(layer), HasSubstr("halves")) << text;
}

TEST(HalfPlan, a_weight_that_16_bits_cannot_hold_keeps_its_layer_real) {
  Builder b;
  b.output("y", b.linear(b.linear(b.linear(b.sparse_input(2, 3), 4, true, "a"), 4, true, "b"), 2, true, "c"));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 2);
  weights.mutable_at("b.weight").mutable_as<float>()[3] = 1e6f;
  const std::int32_t coords[] = {0, 1, 2, 3};
  float features[] = {0.5f, -1.0f};
  const Inputs inputs{{"x", SparseView{coords, {features, Dtype::f32, Device::cpu, 1, 2, 2}, 1}}};
  Session half(Model(graph, weights), {.plan = {.storage = Storage::half}}), real(Model(graph, weights));
  const auto& found = half.run(inputs)["y"];
  EXPECT_LT(difference(found, real.run(inputs)["y"]), 5e-3);
  ASSERT_EQ(half.profile().size(), 3u);
  EXPECT_THAT(half.profile()[0].variant, HasSubstr("_half"));
  EXPECT_THAT(half.profile()[1].variant, Not(HasSubstr("_half")));
  EXPECT_THAT(half.profile()[2].variant, HasSubstr("_half"));
}

TEST(HalfPlan, the_instruction_set_is_the_one_that_was_asked_for) {
  Session half(make_model("minkunet_small", 0.1), {.plan = {.storage = Storage::half, .isa = "portable"}});
  const std::vector<float> points = surface_points(100, Rng(4));
  (void)half.run({{"points", view_of(points)}});
  for (const StepProfile& step : half.profile())
    if (step.kind == "network" && !step.variant.empty()) {
      EXPECT_EQ(step.variant, "portable_half") << step.name;
    }
}

}  // namespace
}  // namespace rarefy
