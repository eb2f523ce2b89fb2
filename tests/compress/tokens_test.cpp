// Fewer bits for models of tokens: which layers become integers, and what tables of 16 bits are.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/half.h"
#include "compress/half.h"
#include "compress/quantize.h"
#include "compress/small_network.h"
#include "support/examples.h"

namespace rarefy::compress {
namespace {

using Settings = std::map<std::string, std::int64_t>;
using test::relative_error;

/// Two samples of a builder's input.
struct Batch {
  std::string name;
  std::vector<float> values;
  std::vector<std::int64_t> begin;
  std::int64_t cols;

  Inputs inputs() {
    return {{name, RowsView{{values.data(), Dtype::f32, Device::cpu, begin.back(), cols, cols}, begin}}};
  }
};

Batch images(std::uint64_t seed) {
  Batch batch{"image", {}, {0, 256, 512}, 3};
  Rng rng(seed);
  for (std::int64_t i = 0; i < 512 * 3; ++i) batch.values.push_back(static_cast<float>(rng.uniform(0, 1)));
  return batch;
}

Batch texts(std::uint64_t seed) {
  Batch batch{"tokens", {}, {0, 30, 47}, 2};
  Rng rng(seed);
  for (std::int64_t i = 0; i < 47; ++i) {
    batch.values.push_back(static_cast<float>(rng.integer(0, 49)));
    batch.values.push_back(0.0f);
  }
  return batch;
}

struct TokenModel {
  std::string builder, output;
  Batch batch;
  std::set<std::string> real;  ///< layers that read the network's input
  Settings policy;
};

std::vector<TokenModel> token_models() {
  std::vector<TokenModel> all;
  for (const Settings& policy :
       {Settings{}, Settings{{"merge", 2}}, Settings{{"keep", 60}}, Settings{{"spatten", 50}}}) {
    all.push_back({"vit", "logits", images(3), {"patch_embed.proj"}, policy});
    all.push_back({"bert", "sentence", texts(3), {}, policy});
  }
  return all;
}

Model model_of(const TokenModel& m, std::uint64_t seed) {
  Settings settings{{"dim", 48}, {"heads", 3}, {"hidden", 96}, {"depth", 3}};
  if (m.builder == "vit") settings.insert({{"image", 16}, {"patch", 4}});
  if (m.builder == "bert") settings.insert({{"words", 50}, {"positions", 40}});
  settings.insert(m.policy.begin(), m.policy.end());
  const Graph graph = models::build(m.builder, {.classes = 7, .settings = settings});
  return {graph, initial_weights(graph, seed)};
}

Model quantized(const TokenModel& m, const Model& model) {
  Batch batch = m.batch;
  Calibration calibration(model);
  calibration.observe(batch.inputs());
  return calibration.quantize({});
}

TEST(QuantizeTokens, layers_become_integers_and_compute_what_rounded_numbers_say) {
  for (TokenModel m : token_models()) {
    SCOPED_TRACE(m.builder + (m.policy.empty() ? "" : " " + m.policy.begin()->first));
    const Model model = model_of(m, 1), result = quantized(m, model);
    std::set<std::string> real;
    for (const Node& node : result.graph().nodes())
      if (node.op == "linear" && node.integer("weight_bits") == 0) real.insert(node.name);
    EXPECT_EQ(real, m.real);
    if (!m.policy.empty()) continue;  // a score that is rounded otherwise may choose other tokens
    Session original(model), integers(result), reals(result, {.plan = {.fuse = false, .integers = false}});
    const TensorView found = integers.run(m.batch.inputs())[m.output];
    EXPECT_LT(relative_error(found, reals.run(m.batch.inputs())[m.output]), 0.02);
    const double error = relative_error(found, original.run(m.batch.inputs())[m.output]);
    EXPECT_LT(error, 0.1);
    EXPECT_GT(error, 0.0);
  }
}

/// What carries the results of all blocks past a layer is added as real numbers.
TEST(QuantizeTokens, sums_around_blocks_stay_real) {
  for (TokenModel m : token_models()) {
    const Model result = quantized(m, model_of(m, 1));
    for (const Node& node : result.graph().nodes()) {
      if (node.op != "add") continue;
      for (const ValueId v : node.inputs) EXPECT_NE(result.graph().producer(v).op, "quantize") << node.name;
    }
  }
}

TEST(QuantizeTokens, same_bits_for_any_number_of_threads_and_after_the_model_file) {
  for (TokenModel m : token_models()) {
    const Model model = quantized(m, model_of(m, 2)), loaded = Model::parse(model.serialize(), "memory");
    Session one(model), four(loaded, {.threads = 4});
    EXPECT_EQ(test::bits_of(one.run(m.batch.inputs())[m.output]), test::bits_of(four.run(m.batch.inputs())[m.output]));
  }
}

TEST(HalveTokens, tables_are_kept_in_16_bits_and_read_as_they_are) {
  for (TokenModel m : token_models()) {
    const Model model = model_of(m, 3), half = halve(model);
    Weights widened = half.weights();
    int tables = 0;
    for (const Node& node : half.graph().nodes()) {
      if (node.op != "embedding") continue;
      const std::string& name = node.parameters[0].name;
      ASSERT_EQ(half.weights().at(name).dtype(), Dtype::f16) << name;
      widened.set(name, half.weights().resolve({name, {}}));
      ++tables;
    }
    EXPECT_EQ(tables, m.builder == "bert" ? 3 : 1);
    Session narrow(half), wide(Model(half.graph(), widened));
    EXPECT_EQ(test::bits_of(narrow.run(m.batch.inputs())[m.output]),
              test::bits_of(wide.run(m.batch.inputs())[m.output]));
  }
}

}  // namespace
}  // namespace rarefy::compress
