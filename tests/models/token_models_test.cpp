/// ViT and BERT: parameters and multiply-adds as published, whole networks against the graph oracle with every policy.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "rarefy/error.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy::models {
namespace {

using Settings = std::map<std::string, std::int64_t>;

Graph vit_of(Settings settings, std::int64_t classes = 1000) {
  return build("vit", {.classes = classes, .settings = std::move(settings)});
}

const Settings kSmall{{"dim", 384}, {"heads", 6}, {"hidden", 1536}};

Settings with(Settings settings, const Settings& more) {
  settings.insert(more.begin(), more.end());
  return settings;
}

TEST(VisionTransformer, parameters_are_the_published_ones) {
  EXPECT_EQ(vit_of({}).parameters(), 5'717'416);                                                // DeiT-Ti
  EXPECT_EQ(vit_of(kSmall).parameters(), 22'050'664);                                           // DeiT-S
  EXPECT_EQ(vit_of({{"dim", 768}, {"heads", 12}, {"hidden", 3072}}).parameters(), 86'567'656);  // DeiT-B, ViT-B/16
}

TEST(VisionTransformer, parameters_of_the_predictor_are_the_published_ones) {
  // Per predictor: layer norm 768, then 384 x 384, 384 x 192, 192 x 96 and 96 x 2 with their biases. 22.77 M in all.
  const std::int64_t each = 768 + 384 * 385 + 192 * 385 + 96 * 193 + 2 * 97;
  EXPECT_EQ(vit_of(with(kSmall, {{"predictor", 70}})).parameters(), 22'050'664 + 3 * each);
  EXPECT_EQ(vit_of(with(kSmall, {{"predictor", 70}, {"masked", 1}})).parameters(), 22'050'664 + 3 * each);
}

TEST(SentenceEncoder, parameters_are_the_published_ones) {
  // MiniLM-L6-H384 without its pooler of 384 x 384 + 384: 22,713,216 - 147,840.
  EXPECT_EQ(build("bert", {}).parameters(), 22'565'376);
  EXPECT_EQ(build("bert", {.settings = {{"dim", 768}, {"depth", 12}, {"hidden", 3072}}}).parameters(),
            109'482'240 - 768 * 768 - 768);  // BERT-base
}

/// Of one image, in 1e9.
double giga(const Graph& graph) {
  Session session(Model(graph, initial_weights(graph, 1)), {.threads = 2});
  Rng rng(2);
  std::vector<float> pixels(224 * 224 * 3);
  for (float& p : pixels) p = static_cast<float>(rng.uniform(0, 1));
  (void)session.run({{"image", TensorView{pixels.data(), Dtype::f32, Device::cpu, 224 * 224, 3, 3}}});
  return static_cast<double>(session.statistics().macs) / 1e9;
}

TEST(VisionTransformer, multiply_adds_are_the_published_ones) {
  // EViT, table of the released code: DeiT-S 4.6 G, with 0.7 of the tokens kept 3.0 G, with 0.5 2.3 G.
  EXPECT_NEAR(giga(vit_of(kSmall)), 4.6, 0.05);
  EXPECT_NEAR(giga(vit_of(with(kSmall, {{"keep", 70}}))), 3.0, 0.06);
  EXPECT_NEAR(giga(vit_of(with(kSmall, {{"keep", 50}}))), 2.3, 0.06);
  // DynamicViT, its table: DeiT-S with 0.7 of the tokens kept 2.9 G. Ours are 2.98, 0.09 of it in the predictors.
  EXPECT_NEAR(giga(vit_of(with(kSmall, {{"predictor", 70}}))), 2.9, 0.1);
  // ToMe removes r tokens in each of 12 blocks: of DeiT-S with r = 13, 2.7 G are left (2.7 in its table).
  EXPECT_NEAR(giga(vit_of(with(kSmall, {{"merge", 13}}))), 2.7, 0.06);
}

const std::vector<Settings> kPolicies = {{},
                                         {{"merge", 3}},
                                         {{"merge", 2}, {"proportional", 0}},
                                         {{"keep", 60}},
                                         {{"keep", 50}, {"fuse", 0}},
                                         {{"keep", 50}, {"scorer", 1}},
                                         {{"keep", 70}, {"scorer", 2}},
                                         {{"threshold", 900}},
                                         {{"spatten", 40}}};

/// Fresh weights are so small that all tokens look alike; larger ones tell them apart.
Weights lively(const Graph& graph, std::uint64_t seed) {
  Weights weights = initial_weights(graph, seed);
  const Weights names = weights;
  Rng rng(seed);
  for (const auto& [name, unused] : names.all())
    if (name.find("norm") == std::string::npos && name.find("Norm") == std::string::npos)
      for (float& v : weights.mutable_at(name).mutable_as<float>()) v = static_cast<float>(rng.normal() * 0.3);
  return weights;
}

void expect_oracle(const Graph& graph, const OpExample::Data& data, const std::string& output) {
  const Weights weights = lively(graph, 5);
  const auto expected = oracle::run(graph, weights, {data});
  for (const int threads : {1, 3}) {
    Session session(Model(graph, weights), {.threads = threads});
    auto* values = const_cast<float*>(data.values.data());
    const TensorView rows{values, Dtype::f32, Device::cpu, data.rows, data.cols, data.cols};
    const Outputs& found = session.run({{data.name, RowsView{rows, data.sample_begin}}});
    test::expect_matches(found, output, expected.at("=" + output), 2e-4);
  }
}

TEST(VisionTransformer, equals_the_oracle_with_every_policy) {
  std::vector<Settings> policies = kPolicies;
  policies.push_back({{"predictor", 60}});
  policies.push_back({{"predictor", 60}, {"masked", 1}});
  for (const Settings& policy : policies) {
    const Graph graph =
        vit_of(with({{"dim", 12}, {"heads", 3}, {"hidden", 20}, {"depth", 4}, {"image", 12}, {"patch", 3}}, policy), 5);
    Rng rng(3);
    OpExample::Data data{"image", {}, {}, 2 * 144, 3, {0, 144, 288}, -1};
    for (int i = 0; i < 2 * 144 * 3; ++i) data.values.push_back(static_cast<float>(rng.uniform(0, 1)));
    expect_oracle(graph, data, "logits");
  }
}

TEST(SentenceEncoder, equals_the_oracle_with_every_policy) {
  for (const Settings& policy : kPolicies) {
    const Graph graph = build(
        "bert",
        {.settings = with({{"dim", 12}, {"heads", 3}, {"hidden", 20}, {"depth", 4}, {"words", 50}, {"positions", 40}},
                          policy)});
    Rng rng(4);
    OpExample::Data data{"tokens", {}, {}, 60, 2, {0, 21, 24, 25, 60}, -1};
    for (int i = 0; i < 60; ++i) {
      data.values.push_back(static_cast<float>(rng.integer(0, 49)));
      data.values.push_back(static_cast<float>(rng.integer(0, 1)));
    }
    expect_oracle(graph, data, "sentence");
  }
}

/// Margins of the two classes that the last layer of a predictor makes are moved until the gate lets `wanted` through.
void keep_exactly(const Graph& graph, Weights& weights, const TensorView& image, int stage, std::int64_t wanted) {
  const std::string bias = "score_predictor." + std::to_string(stage) + ".out_conv.4.bias";
  double low = -1000, high = 1000;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    weights.mutable_at(bias).mutable_as<float>()[0] = static_cast<float>(middle);
    Session session(Model(graph, weights));
    std::int64_t kept = 0;
    for (const float v : session.run({{"image", image}})["keep." + std::to_string(stage + 1)].as<const float>())
      kept += v != 0.0f ? 1 : 0;
    if (kept == wanted) return;
    (kept < wanted ? low : high) = middle;
  }
  FAIL() << "no bias keeps " << wanted << " tokens at predictor " << stage;
}

TEST(VisionTransformer, masked_tokens_are_as_good_as_removed) {
  const Settings shape{{"dim", 12},   {"heads", 3}, {"hidden", 20},   {"depth", 8},
                       {"image", 12}, {"patch", 2}, {"predictor", 70}};
  const Graph removing = vit_of(shape, 5), masking = vit_of(with(shape, {{"masked", 1}}), 5);
  for (const std::uint64_t seed : {1, 2, 3}) {
    Weights weights = lively(removing, seed);
    Rng rng(seed + 20);
    std::vector<float> pixels(144 * 3);
    for (float& p : pixels) p = static_cast<float>(rng.uniform(0, 1));
    const TensorView image{pixels.data(), Dtype::f32, Device::cpu, 144, 3, 3};
    for (int stage = 0; stage < 3; ++stage)
      keep_exactly(masking, weights, image, stage, static_cast<std::int64_t>(36 * std::pow(0.7, stage + 1)));
    Session a(Model(removing, weights)), b(Model(masking, weights));
    const auto x = a.run({{"image", image}})["logits"].as<const float>();
    const auto y = b.run({{"image", image}})["logits"].as<const float>();
    for (std::size_t c = 0; c < x.size(); ++c) EXPECT_NEAR(x[c], y[c], 2e-5 * (1 + std::abs(x[c]))) << seed;
    EXPECT_LT(a.statistics().macs, b.statistics().macs);
  }
}

/// Sentences of one batch are encoded as each alone.
TEST(SentenceEncoder, sentences_do_not_depend_on_their_batch) {
  const Graph graph =
      build("bert", {.settings = {{"dim", 24}, {"depth", 2}, {"hidden", 32}, {"words", 99}, {"merge", 4}}});
  Session session(Model(graph, lively(graph, 1)));
  Rng rng(4);
  std::vector<float> tokens;
  for (int i = 0; i < 90; ++i) {
    tokens.push_back(static_cast<float>(rng.integer(0, 98)));
    tokens.push_back(0.0f);
  }
  const std::vector<std::int64_t> begin{0, 30, 37, 90};
  const auto encode = [&](std::int64_t first, std::int64_t last, std::span<const std::int64_t> samples) {
    const TensorView rows{tokens.data() + 2 * first, Dtype::f32, Device::cpu, last - first, 2, 2};
    return test::bits_of(session.run({{"tokens", RowsView{rows, samples}}})["sentence"]);
  };
  const auto all = encode(0, 90, begin);
  std::vector<std::uint8_t> one_by_one;
  for (std::size_t s = 1; s < begin.size(); ++s) {
    const auto one = encode(begin[s - 1], begin[s], {});
    one_by_one.insert(one_by_one.end(), one.begin(), one.end());
  }
  EXPECT_EQ(all, one_by_one);
}

TEST(VisionTransformer, in_halves_differs_by_rounding_only) {
  const Graph graph =
      vit_of({{"dim", 48}, {"heads", 3}, {"hidden", 96}, {"depth", 3}, {"image", 32}, {"patch", 8}, {"merge", 2}}, 7);
  const Model model(graph, initial_weights(graph, 1));
  Rng rng(2);
  std::vector<float> pixels(32 * 32 * 3);
  for (float& p : pixels) p = static_cast<float>(rng.uniform(0, 1));
  const TensorView image{pixels.data(), Dtype::f32, Device::cpu, 32 * 32, 3, 3};
  Session real(model), half(model, {.plan = {.storage = Storage::half}});
  const auto a = real.run({{"image", image}})["logits"].as<const float>();
  const auto b = half.run({{"image", image}})["logits"].as<const float>();
  double most = 0.0, difference = 0.0;
  for (std::size_t c = 0; c < a.size(); ++c) {
    most = std::max<double>(most, std::abs(a[c]));
    difference = std::max<double>(difference, std::abs(a[c] - b[c]));
  }
  EXPECT_GT(difference, 0.0);
  EXPECT_LT(difference, 1e-2 * most);
}

TEST(TokenModels, name_what_is_wrong) {
  test::expect_error<UsageError>([] { vit_of({{"heads", 5}}); }, {"192 channels", "5 heads"});
  test::expect_error<UsageError>([] { vit_of({{"image", 225}}); }, {"225", "patches of 16"});
  test::expect_error<UsageError>([] { vit_of({{"keep", 0}}); }, {"keep is 0", "1 to 100"});
  test::expect_error<UsageError>([] { vit_of({{"keep", 70}, {"merge", 8}}); }, {"exclude each other"});
  test::expect_error<UsageError>([] { vit_of({{"spatten", 101}}); }, {"spatten is 101", "1 to 100"});
  test::expect_error<UsageError>([] { vit_of({{"spatten", 50}, {"keep", 70}}); }, {"exclude each other"});
  test::expect_error<UsageError>([] { vit_of({{"masked", 1}}); }, {"masked=1", "predictor below 100"});
  test::expect_error<UsageError>([] { vit_of({{"dim", 6}, {"predictor", 50}}); }, {"6 channels", "halved twice"});
  test::expect_error<UsageError>([] { (void)build("bert", {.settings = {{"predictor", 50}}}); }, {"predictor"});
  test::expect_error<UsageError>([] { vit_of({{"kep", 70}}); }, {"kep", "keep"});
  const Graph graph = build("bert", {.settings = {{"dim", 12}, {"depth", 1}, {"words", 9}, {"positions", 4}}});
  Session session(Model(graph, initial_weights(graph, 1)));
  const auto encode = [&](std::vector<float> tokens, std::vector<std::int64_t> begin = {}) {
    const auto rows = static_cast<std::int64_t>(tokens.size()) / 2;
    (void)session.run({{"tokens", RowsView{{tokens.data(), Dtype::f32, Device::cpu, rows, 2, 2}, begin}}});
  };
  test::expect_error<InputError>([&] { encode({1, 0, 9, 0}); }, {"word_embeddings", "row 1", "row 9 of a table of 9"});
  test::expect_error<InputError>([&] { encode({1.5f, 0}); }, {"1.5"});
  test::expect_error<InputError>(
      [&] {
        encode({1, 0, 1, 0, 1, 0, 1, 0, 1, 0});
      },
      {"position_embeddings", "table of 4"});
  test::expect_error<UsageError>([&] { encode({1, 0, 2, 0}, {0, 1}); }, {"tokens", "sample_begin"});
  test::expect_error<UsageError>([&] { encode({1, 0, 2, 0}, {0, 3, 2}); }, {"descends from 3 to 2"});
  encode({1, 0, 2, 0}, {0, 1, 2});  // and the session goes on
  const Graph images = vit_of({{"image", 32}, {"depth", 1}}, 2);
  Session vit(Model(images, initial_weights(images, 1)));
  std::vector<float> pixels(3 * 32 * 32);
  const auto classify = [&](std::int64_t rows, std::vector<std::int64_t> begin) {
    (void)vit.run({{"image", RowsView{{pixels.data(), Dtype::f32, Device::cpu, rows, 3, 3}, begin}}});
  };
  test::expect_error<InputError>([&] { classify(1000, {}); }, {"patches", "1000 pixels", "32 lines of 32: 1024"});
  test::expect_error<InputError>([&] { classify(1024, {0, 500, 1024}); }, {"image 0 has 500 pixels"});
  classify(1024, {});
}

}  // namespace
}  // namespace rarefy::models
