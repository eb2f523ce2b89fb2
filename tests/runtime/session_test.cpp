#include "rarefy/session.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "oracle/graph.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "runtime/memory.h"
#include "runtime/plan_impl.h"
#include "support/examples.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_points.h"

namespace rarefy {
namespace {

using test::surface_points;

Model make_model(const std::string& builder = "minkunet_small", double width = 0.25) {
  Pipeline pipeline = models::semantic_kitti_pipeline(0.1);
  pipeline.features[3].missing = -1.0;
  const Graph graph = models::at(builder).build({.width = width, .classes = 19, .pipeline = pipeline});
  return Model(graph, initial_weights(graph, 5), pipeline);
}

PointView view_of(const std::vector<float>& points) {
  return {points.data(), static_cast<std::int64_t>(points.size()) / 4, 16, {0, 4, 8, 12}};
}

TEST(Session, models_equal_the_oracle) {
  for (const models::ModelDef& def : models::labelling()) {
    SCOPED_TRACE(def.name);
    const Model model = make_model(def.name, 0.13);
    const std::vector<float> points = surface_points(700, Rng(1));
    OpExample::Data data{"points", {}, points, 700, 4, {0, 300, 700}, -1};
    const auto expected = oracle::run(model.graph(), model.weights(), {data});
    Session session(model, {.threads = 2});
    PointView view = view_of(points);
    const std::vector<std::int64_t> begin{0, 300, 700};
    view.sample_begin = begin;
    const Outputs& found = session.run({{"points", view}});
    test::expect_matches(found, "logits", expected.at("=logits"), 1e-4);
    // Two classes may be equally likely to rounding: a label must belong to (nearly) the largest logit.
    EXPECT_EQ(found["labels"].rows, 700);
  }
}

TEST(Session, layouts_of_points_do_not_matter) {
  const Model model = make_model();
  const std::vector<float> points = surface_points(500, Rng(2));
  Session session(model);
  const auto expected = test::bits_of(session.run({{"points", view_of(points)}})["logits"]);

  struct Wide {
    char tag;
    float intensity, unused, z, y, x;
  } __attribute__((packed));
  std::vector<Wide> wide;
  for (std::size_t p = 0; p < points.size(); p += 4)
    wide.push_back({'p', points[p + 3], 0.0f, points[p + 2], points[p + 1], points[p]});
  const PointView odd{wide.data(), static_cast<std::int64_t>(wide.size()), sizeof(Wide), {17, 13, 9, 1}};
  EXPECT_EQ(test::bits_of(session.run({{"points", odd}})["logits"]), expected);
  const TensorView matrix{const_cast<float*>(points.data()), Dtype::f32, Device::cpu, 500, 4, 4};
  EXPECT_EQ(test::bits_of(session.run({{"points", matrix}})["logits"]), expected);
}

TEST(Session, missing_intensity_is_told_and_filled_as_the_pipeline_says) {
  const Model model = make_model();
  std::vector<float> points = surface_points(300, Rng(3));
  Session session(model);
  PointView without = view_of(points);
  without.fields.intensity = -1;
  const auto found = test::bits_of(session.run({{"points", without}})["logits"]);
  EXPECT_TRUE(session.statistics().intensity_missing);
  for (std::size_t p = 3; p < points.size(); p += 4) points[p] = -1.0f;
  EXPECT_EQ(test::bits_of(session.run({{"points", view_of(points)}})["logits"]), found);
  EXPECT_FALSE(session.statistics().intensity_missing);
}

TEST(Session, bad_points_get_255_or_an_error_in_strict_mode) {
  const Model model = make_model();
  std::vector<float> points = surface_points(100, Rng(4));
  points[4 * 10] = std::numeric_limits<float>::quiet_NaN();
  points[4 * 20 + 2] = std::numeric_limits<float>::infinity();
  points[4 * 30 + 1] = 1e9f;
  Session session(model);
  const auto labels = session.run({{"points", view_of(points)}})["labels"].as<std::uint8_t>();
  for (std::size_t p = 0; p < labels.size(); ++p) EXPECT_EQ(labels[p] == 255, p == 10 || p == 20 || p == 30) << p;
  EXPECT_EQ(session.statistics().points_not_finite, 2);
  EXPECT_EQ(session.statistics().points_outside, 1);
  test::expect_error<InputError>(
      [&] {
        (void)session.run({{"points", view_of(points)}}, {.strict = true});
      },
      {"3 of 100", "2 with a NaN"});
}

TEST(Session, stays_usable_after_every_error) {
  const Model model = make_model();
  const std::vector<float> points = surface_points(200, Rng(5));
  Session session(model, {.threads = 2});
  const auto expected = test::bits_of(session.run({{"points", view_of(points)}})["logits"]);
  test::expect_error<UsageError>([&] { (void)session.run({}); }, {"'points'", "missing"});
  test::expect_error<UsageError>([&] { (void)session.run({{"pints", view_of(points)}}); }, {"'pints'", "'points'"});
  test::expect_error<UsageError>([&] { (void)session.run({{"points", SparseView{}}}); }, {"PointView"});
  PointView broken = view_of(points);
  broken.fields.z = 14;
  test::expect_error<UsageError>([&] { (void)session.run({{"points", broken}}); }, {"byte 14", "16 bytes"});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW((void)session.run({{"points", view_of(points)}}, {.stop = stop.get_token()}), Cancelled);
  RunOptions late;
  late.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  test::expect_error<Cancelled>([&] { (void)session.run({{"points", view_of(points)}}, late); }, {"deadline"});
  test::expect_error<UsageError>(
      [&] {
        (void)session.run({{"points", view_of(points)}})["label"];
      },
      {"'label'", "'labels'"});
  EXPECT_EQ(test::bits_of(session.run({{"points", view_of(points)}})["logits"]), expected);
}

TEST(Session, empty_single_and_repeated_points) {
  const Model model = make_model();
  Session session(model);
  EXPECT_EQ(session.run({{"points", PointView{nullptr, 0}}})["labels"].rows, 0);
  EXPECT_EQ(session.run({{"points", PointView{nullptr, 0}}})["logits"].rows, 0);
  const std::vector<float> one{1, 2, 3, 0.5f};
  EXPECT_LT(session.run({{"points", view_of(one)}})["labels"].as<std::uint8_t>()[0], 19);
  std::vector<float> same;
  for (int i = 0; i < 1000; ++i) same.insert(same.end(), one.begin(), one.end());
  const Outputs& found = session.run({{"points", view_of(same)}});
  EXPECT_EQ(found["logits"].rows, 1);
  EXPECT_EQ(found["labels"].rows, 1000);
}

TEST(Session, one_plan_serves_many_threads_with_the_same_bits) {
  const Model model = make_model();
  const auto plan = Plan::compile(model);
  std::vector<std::vector<float>> scans;
  std::vector<std::vector<std::uint8_t>> expected;
  Context reference(plan);
  for (int s = 0; s < 4; ++s) {
    scans.push_back(surface_points(300 + 100 * s, Rng(10 + s)));
    expected.push_back(test::bits_of(reference.run({{"points", view_of(scans.back())}})["logits"]));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      Context context(plan);
      for (int i = 0; i < 4; ++i) {
        const auto s = static_cast<std::size_t>((t + i) % 4);
        if (test::bits_of(context.run({{"points", view_of(scans[s])}})["logits"]) != expected[s]) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Session, samples_of_a_batch_do_not_see_each_other) {
  const Model model = make_model();
  const std::vector<float> a = surface_points(250, Rng(6)), b = surface_points(400, Rng(7));
  Session session(model);
  auto alone = test::bits_of(session.run({{"points", view_of(a)}})["labels"]);
  const auto second = test::bits_of(session.run({{"points", view_of(b)}})["labels"]);
  alone.insert(alone.end(), second.begin(), second.end());
  std::vector<float> both = a;
  both.insert(both.end(), b.begin(), b.end());
  PointView view = view_of(both);
  const std::vector<std::int64_t> begin{0, 250, 650};
  view.sample_begin = begin;
  EXPECT_EQ(test::bits_of(session.run({{"points", view}})["labels"]), alone);
}

TEST(Session, forced_instruction_sets_run_and_agree) {
  const Model model = make_model();
  const std::vector<float> points = surface_points(400, Rng(8));
  std::vector<float> first;
  for (const ConvVariant& variant : conv_variants()) {
    if (!runs_here(variant)) continue;
    Session session(model, {.plan = {.isa = std::string(name(variant))}});
    const auto logits = session.run({{"points", view_of(points)}})["logits"].as<float>();
    for (const StepProfile& p : session.profile()) {
      if (p.op.rfind("sparse_conv", 0) == 0) {
        EXPECT_EQ(p.variant, name(variant));
      }
    }
    if (first.empty()) first.assign(logits.begin(), logits.end());
    float scale = 1.0f;
    for (const float v : first) scale = std::max(scale, std::abs(v));
    for (std::size_t i = 0; i < first.size(); ++i) ASSERT_NEAR(first[i], logits[i], 1e-4f * scale);
  }
  test::expect_error<UnsupportedError>([&] { Session session(model, {.plan = {.isa = "avx9000"}}); },
                                       {"avx9000", "portable"});
}

TEST(Session, the_profile_covers_the_run) {
  const Model model = make_model("minkunet", 0.1);
  const std::vector<float> points = surface_points(500, Rng(9));
  Session session(model);
  (void)session.run({{"points", view_of(points)}});
  std::int64_t macs = 0;
  bool fused = false;
  for (const StepProfile& p : session.profile()) {
    macs += p.macs;
    fused = fused || p.op == "sparse_conv+batch_norm+add+relu";
    EXPECT_NE(p.op, "batch_norm") << p.name << " was not fused";
    EXPECT_NE(p.op, "relu") << p.name << " was not fused";
    EXPECT_NE(p.op, "add") << p.name << " was not fused";
  }
  EXPECT_TRUE(fused);
  EXPECT_EQ(macs, session.statistics().macs);
  EXPECT_EQ(macs, multiply_adds(model.graph(), session.statistics().sizes));
  EXPECT_GT(session.statistics().voxels, 0);
}

TEST(Plan, concatenations_cost_nothing_and_buffers_are_shared) {
  const Model model = make_model("minkunet", 0.1);
  const auto plan = Plan::compile(model), generous = Plan::compile(model, {.share_memory = false});
  EXPECT_LT(plan->impl().layout.buffers.size(), generous->impl().layout.buffers.size() / 2);
  for (const Node& node : model.graph().nodes()) {
    if (node.op != "concat") continue;
    const auto& places = plan->impl().layout.places;
    const auto& whole = places[static_cast<std::size_t>(node.outputs[0])];
    std::int64_t column = whole.column;
    for (const ValueId input : node.inputs) {
      EXPECT_EQ(places[static_cast<std::size_t>(input)].buffer, whole.buffer);
      EXPECT_EQ(places[static_cast<std::size_t>(input)].column, column);
      column += model.graph().type(input).channels;
    }
  }
  EXPECT_NE(plan->to_text().find("sparse_conv+batch_norm+relu"), std::string::npos);
}

/// A residual whose both sides are convolutions, an activation that somebody else reads, an output in the middle of a
/// chain.
TEST(Plan, fusion_keeps_what_others_read) {
  test::for_random_cases(20, [](Rng& rng) {
    Builder b;
    const ValueId x = b.sparse_input(5, 3);
    const ValueId left = b.batch_norm(b.conv(x, {.channels = 6, .bias = true}));
    const ValueId right = b.batch_norm(b.conv(x, {.channels = 6, .kernel = {1}}));
    const ValueId sum = b.relu(rng.chance(0.5) ? b.add_values(left, right) : b.add_values(right, left));
    const ValueId twice = b.add_values(sum, sum);
    const ValueId leaky = b.add("leaky_relu", {b.linear(twice, 6)}, {{"alpha", 0.2}})[0];
    b.output("y", b.add_values(leaky, rng.chance(0.5) ? sum : left));
    b.output("middle", rng.chance(0.5) ? left : right);
    OpExample example;
    example.graph = b.build();
    example.weights = initial_weights(example.graph, rng.bits());
    Rng data = rng.fork(1);
    example.inputs = {OpExample::Data{"x", {}, {}, 0, 5, {}, 1}};
    for (std::int32_t i = 0; i < 60; ++i) {
      for (const std::int32_t v : {0, i % 4, i / 4 % 4, i / 16}) example.inputs[0].coords.push_back(v);
      for (int c = 0; c < 5; ++c) example.inputs[0].values.push_back(static_cast<float>(data.uniform(-1, 1)));
    }
    example.inputs[0].rows = 60;
    const auto expected = oracle::run(example.graph, example.weights, example.inputs);
    Session session(Model(example.graph, example.weights));
    const Outputs& found = session.run(test::inputs_of(example));
    test::expect_matches(found, "y", expected.at("=y"));
    test::expect_matches(found, "middle", expected.at("=middle"));
  });
}

TEST(Memory, what_does_not_fit_is_refused_before_it_is_taken_and_the_session_stays_usable) {
  const Model model = make_model("minkunet_small", 8.0);  // features outweigh maps
  const std::vector<float> points = surface_points(4000, Rng(8));
  Session free(model);
  (void)free.run({{"points", view_of(points)}});
  const std::int64_t needed = free.context().memory_bytes();
  Session limited(model, {.memory_limit = needed / 2});
  const Inputs inputs{{"points", view_of(points)}};
  test::expect_error<MemoryError>([&] { (void)limited.run(inputs); }, {"needs", "MB", "memory_limit"});
  EXPECT_LT(limited.context().memory_bytes(), needed / 2);
  const std::vector<float> fewer(points.begin(), points.begin() + 4 * 300);
  EXPECT_EQ(limited.run({{"points", view_of(fewer)}})["labels"].rows, 300);
  Session enough(model, {.memory_limit = needed + needed / 50});
  EXPECT_EQ(enough.run(inputs)["labels"].rows, 4000);
  test::expect_error<UsageError>([&] { Session(model, {.memory_limit = -1}); }, {"memory limit", "-1"});
}

TEST(Memory, more_than_the_system_has_is_refused) {
  test::expect_error<MemoryError>([] { runtime::require_memory(std::int64_t{1} << 50, 0, 0); }, {"available", "MB"});
  EXPECT_NO_THROW(runtime::require_memory(1000, 0, 0));
}

TEST(Memory, is_as_expected_from_sizes) {
  for (const models::ModelDef& def : models::labelling()) {
    SCOPED_TRACE(def.name);
    const Model model = make_model(def.name, 0.5);
    const std::vector<float> points = surface_points(20000, Rng(9));
    Session session(model);
    (void)session.run({{"points", view_of(points)}});
    const auto expected = static_cast<double>(session.plan().expected_memory(session.statistics().sizes));
    // In a narrow network the lists of maps, which grow by doubling, are much of it.
    EXPECT_NEAR(expected / static_cast<double>(session.context().memory_bytes()), 1.0, 0.2);
    test::expect_error<UsageError>([&] { (void)session.plan().expected_memory({}); }, {"not given"});
  }
}

}  // namespace
}  // namespace rarefy
