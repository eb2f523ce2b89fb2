#include "rarefy/tuning.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/cpu.h"
#include "base/file.h"
#include "rarefy/builder.h"
#include "runtime/tuner.h"
#include "support/expect_error.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

using test::expect_error;

/// Three convolutions over two maps of one grid.
Model small_network() {
  Builder b;
  ValueId x = b.sparse_input(4, 3);
  x = b.relu(b.conv(x, {.channels = 16}));
  x = b.relu(b.conv(x, {.channels = 20, .kernel = {2}, .stride = {2}}));
  b.output("y", b.conv(x, {.channels = 8}));
  const Graph graph = b.build();
  return Model(graph, initial_weights(graph, 3));
}

std::vector<std::string> layers_of(const Model& model) {
  std::vector<std::string> layers;
  for (const Node& node : model.graph().nodes())
    if (node.op == "sparse_conv") layers.push_back(node.name);
  return layers;
}

/// Sites of a plane with holes, and their features.
struct Plane {
  std::vector<std::int32_t> coords;
  std::vector<float> values;
  explicit Plane(int extent) {
    Rng rng(17);
    for (std::int32_t x = 0; x < extent; ++x)
      for (std::int32_t y = 0; y < extent; ++y)
        if (rng.chance(0.8)) coords.insert(coords.end(), {0, x, y, (x + y) / 7});
    for (std::size_t i = 0; i < coords.size(); ++i) values.push_back(static_cast<float>(rng.normal()));
  }
  Inputs inputs() {
    const auto rows = static_cast<std::int64_t>(values.size() / 4);
    return {{"x", SparseView{coords.data(), {values.data(), Dtype::f32, Device::cpu, rows, 4, 4}}}};
  }
};

Tuning here(const Model& model) {
  Tuning tuning;
  tuning.cpu = cpu::model_name();
  tuning.isa = name(select_conv_variant());
  tuning.threads = 1;
  tuning.model = Tuning::fingerprint(model.graph());
  return tuning;
}

TEST(Tuning, file_comes_back_as_it_was) {
  Tuning tuning = here(small_network());
  tuning.scan = {{"a.rows", 7}, {"a.pairs", 1234567890123}};
  tuning.layers["first"] = {"stationary", "blocked", "on_demand"};
  tuning.layers["odd \"name\""] = {};
  const std::string path = (std::filesystem::temp_directory_path() / "rarefy_tuning_test.tuning").string();
  tuning.save(path);
  const Tuning back = Tuning::load(path);
  std::filesystem::remove(path);
  EXPECT_EQ(back.to_json(), tuning.to_json());
  EXPECT_EQ(back.scan, tuning.scan);
  EXPECT_EQ(back.layer("first").weight_gradient, "on_demand");
  EXPECT_EQ(back.layer("unknown").forward, "automatic");
}

TEST(Tuning, damage_is_named) {
  Tuning tuning = here(small_network());
  tuning.layers["first"] = {"stationary", "blocked", "on_demand"};
  const std::string good = tuning.to_json();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const auto rejects = [](const std::string& text, std::initializer_list<std::string> parts) {
    expect_error<InputError>([&] { (void)Tuning::parse(text, "t.tuning"); }, parts);
  };
  for (std::size_t length = 0; length + 2 < good.size(); length += 7) rejects(good.substr(0, length), {"t.tuning"});
  rejects("[1]", {"t.tuning", "object"});
  rejects(with("rarefy tuning", "rarefy model"), {"format", "rarefy tuning"});
  rejects(with("\"version\": 1", "\"version\": 2"), {"version"});
  rejects(with("\"version\": 1", "\"version\": 1e64"), {"version"});
  rejects(with("\"threads\": 1", "\"threads\": \"two\""), {"threads"});
  rejects(with("\"stationary\"", "\"sideways\""), {"first", "forward", "sideways", "on_demand"});
  rejects(with("\"on_demand\"", "\"stationary\""), {"first", "weight_gradient", "stationary"});
}

TEST(Tuning, of_something_else_is_refused) {
  const Model model = small_network();
  const auto refused = [&](const Tuning& tuning, std::initializer_list<std::string> parts) {
    expect_error<UsageError>([&] { (void)Plan::compile(model, {.tuning = std::make_shared<Tuning>(tuning)}); }, parts);
  };
  Tuning other = here(model);
  other.cpu = "Babbage";
  refused(other, {"CPU", "Babbage", "rarefy tune"});
  other = here(model);
  other.isa = "punched cards";
  refused(other, {"instruction set", "punched cards"});
  other = here(model);
  other.model = "00000000";
  refused(other, {"model", "00000000"});
}

TEST(Tuning, decides_what_runs_and_changes_no_number) {
  const Model model = small_network();
  Plane plane(60);
  Session plain(model);
  const auto expected = plain.run(plane.inputs())["y"].as<float>();
  for (const Dataflow dataflow : dataflows()) {
    auto tuning = std::make_shared<Tuning>(here(model));
    for (const std::string& layer : layers_of(model)) tuning->layers[layer].forward = name(dataflow);
    Session tuned(model, {.plan = {.tuning = tuning}});
    const auto y = tuned.run(plane.inputs())["y"].as<float>();
    EXPECT_TRUE(std::equal(y.begin(), y.end(), expected.begin(), expected.end())) << name(dataflow);
    int seen = 0;
    for (const StepProfile& step : tuned.profile()) {
      if (step.dataflow.empty()) continue;
      EXPECT_EQ(step.dataflow, name(dataflow)) << step.name;
      ++seen;
    }
    EXPECT_EQ(seen, 3);
  }
}

TEST(Tuner, times_verified_candidates_and_its_choice_runs) {
  const Model model = small_network();
  Plane plane(40);
  const std::vector<Inputs> scans{plane.inputs()};
  std::int64_t reports = 0;
  TunerOptions options{.repetitions = 2, .gradients = TuneGradients::yes, .gain = 1e9};  // anything is a gain
  options.progress = [&](const ProgressReport&) { ++reports; };
  const auto pool = make_thread_pool(2);
  const TuneReport report = Tuner(model, *pool, options).run(scans);
  EXPECT_GT(reports, 5);
  EXPECT_GT(report.largest_error, 0);
  EXPECT_LE(report.largest_error, 1);
  ASSERT_EQ(report.layers.size(), 3u);
  for (const LayerTimes& t : report.layers) {
    EXPECT_GT(t.pairs, 0) << t.layer;
    for (const double ms : t.forward) EXPECT_GE(ms, 0) << t.layer;
    EXPECT_GE(t.weight_gradient[0], 0);
    EXPECT_LT(t.weight_gradient[1], 0) << "weight gradients have no stationary dataflow";
    EXPECT_NE(report.tuning.layer(t.layer).forward, "automatic");
    EXPECT_FALSE(t.by_cost_model.empty());
  }
  EXPECT_TRUE(report.pays);
  EXPECT_EQ(report.tuning.threads, 2);
  EXPECT_GT(report.default_ms, 0);
  Session tuned(model, {.plan = {.tuning = std::make_shared<Tuning>(report.tuning)}});
  (void)tuned.run(scans[0]);
}

TEST(Tuner, leaves_to_the_cost_model_what_it_cannot_beat) {
  const Model model = small_network();
  Plane plane(40);
  const std::vector<Inputs> scans{plane.inputs()};
  const TuneReport report = Tuner(model, serial_executor(), {.repetitions = 1, .gain = 0}).run(scans);
  EXPECT_FALSE(report.pays);
  ASSERT_EQ(report.tuning.layers.size(), 3u);
  for (const auto& [node, layer] : report.tuning.layers) EXPECT_EQ(layer.forward, "automatic") << node;
}

TEST(Tuner, says_when_there_is_nothing_to_tune) {
  const Model model = small_network();
  expect_error<UsageError>([&] { (void)Tuner(model, serial_executor(), {}).run({}); }, {"at least one scan"});
  Builder b;
  b.output("y", b.relu(b.sparse_input(4, 3)));
  const Graph graph = b.build();
  const Model no_layer(graph, initial_weights(graph, 1));
  expect_error<UsageError>([&] { Tuner(no_layer, serial_executor(), {}); }, {"nothing to tune"});
}

}  // namespace
}  // namespace rarefy
