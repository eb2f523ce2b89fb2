// Heads that are left out: sorting changes nothing, what stays equals the dense model with those heads set to zero.
#include "compress/drop_heads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "compress/half.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::compress {
namespace {

using Settings = std::map<std::string, std::int64_t>;

constexpr std::int64_t kHeads = 4, kDepth = 4;

Model encoder(std::uint64_t seed, const Settings& policy = {}) {
  Settings settings{{"dim", 24},       {"heads", kHeads}, {"hidden", 32},
                    {"depth", kDepth}, {"words", 50},     {"positions", 40}};
  settings.insert(policy.begin(), policy.end());
  const Graph graph = models::build("bert", {.settings = settings});
  Weights weights = initial_weights(graph, seed);
  Rng rng(seed);
  const Weights names = weights;
  for (const auto& [name, unused] : names.all())
    for (float& v : weights.mutable_at(name).mutable_as<float>()) v += static_cast<float>(rng.normal() * 0.2);
  return {graph, std::move(weights)};
}

/// Sentences of one batch.
struct Batch {
  std::vector<float> values;
  std::vector<std::int64_t> begin{0, 20, 21, 21, 50};

  explicit Batch(std::uint64_t seed) {
    Rng rng(seed);
    for (std::int64_t i = 0; i < begin.back(); ++i) {
      values.push_back(static_cast<float>(rng.integer(0, 49)));
      values.push_back(0.0f);
    }
  }
  Inputs inputs() {
    return {{"tokens", RowsView{{values.data(), Dtype::f32, Device::cpu, begin.back(), 2, 2}, begin}}};
  }
};

std::vector<float> sentence(const Model& model, Batch& batch) {
  Session session(model);
  const auto y = session.run(batch.inputs())["sentence"].as<const float>();
  return {y.begin(), y.end()};
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
  return most;
}

std::string attention_of(std::int64_t block) { return "encoder.layer." + std::to_string(block) + ".attention.self"; }

TEST(DropHeads, magnitudes_are_means_of_the_absolute_values) {
  const Model model = encoder(1);
  Batch first(2), second(3);
  const auto scores = head_magnitudes(model, {first.inputs(), second.inputs()});
  ASSERT_EQ(scores.size(), static_cast<std::size_t>(kDepth));
  GraphBuilder copy;  // the output of the third attention, watched by hand
  Model watched = [&] {
    std::vector<ValueId> to(model.graph().values().size(), -1);
    for (const Node& node : model.graph().nodes()) {
      std::vector<ValueId> inputs;
      for (const ValueId v : node.inputs) inputs.push_back(to[static_cast<std::size_t>(v)]);
      const auto made = copy.add(node.op, inputs, node.attributes, node.name, node.parameters);
      for (std::size_t i = 0; i < made.size(); ++i) to[static_cast<std::size_t>(node.outputs[i])] = made[i];
      if (node.name == attention_of(2)) copy.output("heads", made[0]);
    }
    return Model(copy.build(), model.weights());
  }();
  std::vector<double> expected(kHeads, 0.0);
  for (Batch* batch : {&first, &second}) {
    Session session(watched);
    const auto y = session.run(batch->inputs())["heads"].matrix<const float>();
    for (std::int64_t r = 0; r < y.rows; ++r)
      for (std::int64_t c = 0; c < y.cols; ++c) expected[static_cast<std::size_t>(c / 6)] += std::abs(y(r, c)) / 100.0;
  }
  for (std::size_t h = 0; h < kHeads; ++h) EXPECT_NEAR(scores[2].magnitude[h], expected[h], 1e-6);
}

TEST(DropHeads, choices_fall_with_depth_and_cascade) {
  const std::vector<HeadScores> scores{
      {"a", {4, 3, 2, 1}}, {"b", {0, 0, 5, 0}}, {"c", {0, 9, 0, 0}}, {"d", {9, 0, 0, 9}}};
  const auto cascade = choose_heads(scores, {.ratio = 0.75});
  EXPECT_EQ(cascade.at("a").keep, 4);
  EXPECT_EQ(cascade.at("b").keep, 4) << "30 % of four blocks, rounded up, are two";
  EXPECT_EQ(cascade.at("c").keep, 3);
  EXPECT_EQ(cascade.at("d").keep, 1);
  // Sums before c: 4 3 7 1: the last head goes. Before d: 4 12 7 -: it stays gone though it is large there.
  EXPECT_EQ(cascade.at("c").order, (std::vector<std::int64_t>{2, 0, 1, 3}));
  EXPECT_EQ(cascade.at("d").order, (std::vector<std::int64_t>{1, 2, 0, 3}));
  const auto block = choose_heads(scores, {.ratio = 0.75, .rule = HeadRule::block});
  EXPECT_EQ(block.at("d").order, (std::vector<std::int64_t>{0, 3, 1, 2}));
  EXPECT_EQ(block.at("d").keep, 1);
  EXPECT_EQ(choose_heads(scores, {}).at("d").keep, 4);
  EXPECT_EQ(choose_heads(scores, {.ratio = 0.999}).at("d").keep, 1) << "one head stays";
}

TEST(DropHeads, sorted_heads_compute_the_same) {
  for (const Settings& policy : {Settings{}, Settings{{"merge", 2}}, Settings{{"spatten", 50}}}) {
    const Model model = encoder(4, policy);
    Batch batch(5);
    std::map<std::string, HeadChoice> choice;
    for (std::int64_t b = 0; b < kDepth; ++b) choice[attention_of(b)] = {{2, 0, 3, 1}, 4};
    EXPECT_LT(difference(sentence(sort_heads(model, choice), batch), sentence(model, batch)), 2e-6);
  }
}

/// The dense model with the projection's rows of the heads that go set to zero.
Model silenced(const Model& model, const std::map<std::string, HeadChoice>& choice) {
  Weights weights = model.weights();
  for (const auto& [attention, how] : choice) {
    const std::string block = attention.substr(0, attention.rfind(".self"));
    auto w = weights.mutable_at(block + ".output.dense.weight").mutable_as<float>();
    for (std::size_t i = static_cast<std::size_t>(how.keep); i < how.order.size(); ++i) {
      const std::int64_t run = 6 * 24;
      std::fill_n(w.begin() + how.order[i] * run, run, 0.0f);
    }
  }
  return {model.graph(), std::move(weights)};
}

TEST(DropHeads, what_stays_equals_the_dense_model_without_those_heads) {
  for (const HeadRule rule : {HeadRule::cascade, HeadRule::block}) {
    for (const std::uint64_t seed : {1, 2, 3}) {
      const Model model = encoder(seed);
      Batch batch(seed + 10);
      const auto choice = choose_heads(head_magnitudes(model, {batch.inputs()}), {.ratio = 0.6, .rule = rule});
      const Model dropped = drop_heads(model, choice);
      EXPECT_LT(difference(sentence(dropped, batch), sentence(silenced(model, choice), batch)), 2e-6) << seed;
      EXPECT_GT(difference(sentence(dropped, batch), sentence(model, batch)), 1e-4) << seed;
      const Model loaded = Model::parse(dropped.serialize(), "memory");
      EXPECT_EQ(sentence(loaded, batch), sentence(dropped, batch));
      Session a(model), b(dropped);
      (void)a.run(batch.inputs());
      (void)b.run(batch.inputs());
      EXPECT_LT(b.statistics().macs, a.statistics().macs);
    }
  }
}

TEST(DropHeads, goes_with_every_token_policy_and_with_16_bits) {
  for (const Settings& policy : {Settings{{"merge", 2}}, Settings{{"keep", 60}}, Settings{{"spatten", 50}}}) {
    const Model model = encoder(6, policy);
    Batch batch(7);
    const Model dropped = drop_heads(model, choose_heads(head_magnitudes(model, {batch.inputs()}), {.ratio = 0.5}));
    const auto real = sentence(dropped, batch), half = sentence(halve(dropped), batch);
    for (const float v : real) EXPECT_TRUE(std::isfinite(v));
    EXPECT_LT(difference(real, half), 0.2);
  }
}

TEST(DropHeads, names_what_is_wrong) {
  const Model model = encoder(1);
  Batch batch(1);
  test::expect_error<UsageError>([&] { (void)head_magnitudes(model, {}); }, {"none was given"});
  test::expect_error<UsageError>([&] { (void)choose_heads({}, {.ratio = 1.0}); }, {"ratio is 1", "less than 1"});
  test::expect_error<UsageError>(
      [&] {
        (void)drop_heads(model, {{"encoder.layer.9.attention.self", {{0}, 1}}});
      },
      {"encoder.layer.9", "no attention", "encoder.layer"});
  test::expect_error<UsageError>(
      [&] {
        (void)drop_heads(model, {{attention_of(0), {{0, 1, 2, 2}, 1}}});
      },
      {attention_of(0), "each of its 4 heads once"});
  test::expect_error<UsageError>(
      [&] {
        (void)drop_heads(model, {{attention_of(0), {{0, 1, 2, 3}, 0}}});
      },
      {"0 are to stay"});
  const std::map<std::string, HeadChoice> one{{attention_of(0), {{3, 1, 2, 0}, 2}}};
  test::expect_error<UnsupportedError>([&] { (void)drop_heads(halve(model), one); }, {"fewer bits"});
  const Model dropped = drop_heads(model, one);
  test::expect_error<UsageError>(
      [&] {
        (void)sort_heads(dropped, {{attention_of(0), {{1, 0}, 1}}});
      },
      {"is a part already"});
  Builder b;
  b.output("y", b.linear(b.points(3, "x"), 2));
  const Graph plain = b.build();
  std::vector<float> x(6);
  const TensorView rows{x.data(), Dtype::f32, Device::cpu, 2, 3, 3};
  test::expect_error<UnsupportedError>(
      [&] {
        (void)head_magnitudes({plain, initial_weights(plain, 1)}, {{{"x", rows}}});
      },
      {"no attention"});
}

}  // namespace
}  // namespace rarefy::compress
