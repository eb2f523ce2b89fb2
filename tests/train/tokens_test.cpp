/// Transformers in training: the interpreter equals the session, every parameter gets a gradient, and a small ViT
/// learns.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "rarefy/builder.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "train/graph_module.h"
#include "train/losses.h"

namespace rarefy::train {
namespace {

using Settings = std::map<std::string, std::int64_t>;

Graph small_vit(const Settings& policy) {
  Settings settings{{"dim", 12}, {"heads", 3}, {"hidden", 24}, {"depth", 4}, {"image", 12}, {"patch", 3}};
  settings.insert(policy.begin(), policy.end());
  return models::build("vit", {.classes = 2, .settings = settings});
}

/// Images that are bright in one half or in the other.
struct Images {
  std::vector<float> pixels;
  std::vector<std::int64_t> begin{0}, labels;

  Images(std::int64_t count, std::uint64_t seed) {
    Rng rng(seed);
    for (std::int64_t i = 0; i < count; ++i) {
      labels.push_back(rng.integer(0, 1));
      for (std::int64_t p = 0; p < 144; ++p) {
        const bool bright = (p / 72 == 0) == (labels.back() == 0);
        for (int c = 0; c < 3; ++c) pixels.push_back(static_cast<float>(rng.uniform(0, bright ? 1.0 : 0.5)));
      }
      begin.push_back(begin.back() + 144);
    }
  }
  Inputs inputs() { return {{"image", RowsView{{pixels.data(), Dtype::f32, Device::cpu, begin.back(), 3, 3}, begin}}}; }
};

std::shared_ptr<Prepared> prepare(const GraphModule& module, const Inputs& inputs) {
  auto batch = std::make_shared<Prepared>();
  module.preparer().prepare(inputs, serial_executor(), *batch);
  return batch;
}

TEST(Transformers, training_equals_the_session_with_every_policy) {
  for (const Settings& policy : {Settings{}, Settings{{"merge", 2}}, Settings{{"keep", 60}},
                                 Settings{{"threshold", 950}}, Settings{{"spatten", 60}}}) {
    const Graph graph = small_vit(policy);
    const Weights weights = initial_weights(graph, 3);
    Images images(3, 5);
    Session session(Model(graph, weights));
    const auto expected = session.run(images.inputs())["logits"].matrix<const float>();
    GraphModule module(graph, weights, serial_executor());
    const auto inputs = images.inputs();
    const at::Tensor logits = module.forward(prepare(module, inputs), {"logits"}, Mode::training)[0];
    ASSERT_EQ(logits.size(0), 3);
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t c = 0; c < 2; ++c) EXPECT_NEAR(logits[r][c].item<float>(), expected(r, c), 1e-5);
    (logits * logits).sum().backward();
    for (auto& p : module.parameters()) {
      // The bias of keys moves all scores of a query alike: softmax does not see it.
      if (p.name.find("attn.k.bias") != std::string::npos) continue;
      ASSERT_TRUE(p.value.grad().defined()) << p.name;
      EXPECT_GT(p.value.grad().abs().sum().item<float>(), 0.0f) << p.name;
      EXPECT_TRUE(std::isfinite(p.value.grad().sum().item<float>())) << p.name;
    }
  }
}

TEST(Transformers, a_small_one_learns_with_half_of_its_tokens) {
  const Graph graph = small_vit({{"keep", 50}});
  GraphModule module(graph, initial_weights(graph, 1), serial_executor());
  Images images(32, 7);
  const auto inputs = images.inputs();
  const auto batch = prepare(module, inputs);
  const at::Tensor labels = at::from_blob(images.labels.data(), {32}, at::kLong);
  double first = 0.0, loss = 0.0;
  for (int step = 0; step < 60; ++step) {
    module.clear_gradients();
    const at::Tensor logits = module.forward(batch, {"logits"}, Mode::training)[0];
    const at::Tensor l = at::nll_loss(at::log_softmax(logits, 1), labels);
    loss = l.item<double>();
    if (step == 0) first = loss;
    l.backward();
    at::NoGradGuard no_gradient;
    for (auto& p : module.parameters())
      if (p.value.grad().defined()) p.value.sub_(p.value.grad(), 0.1);
  }
  EXPECT_GT(first, 0.5);
  EXPECT_LT(loss, 0.3);
}

/// One row per token, several samples.
struct Tokens {
  std::vector<float> values;
  std::vector<std::int64_t> begin;
  std::int64_t channels;

  Tokens(std::vector<std::int64_t> samples, std::int64_t columns, std::uint64_t seed)
      : begin(std::move(samples)), channels(columns) {
    Rng rng(seed);
    for (std::int64_t i = 0; i < begin.back() * channels; ++i) values.push_back(static_cast<float>(rng.normal()));
  }
  Inputs inputs() {
    return {{"x", RowsView{{values.data(), Dtype::f32, Device::cpu, begin.back(), channels, channels}, begin}}};
  }
};

/// Sizes come from a table, so that they are parameters whose gradient can be looked at.
TEST(AttentionSizes, gradients_of_what_is_not_attended_to_are_the_limit_from_above) {
  for (const bool scores : {false, true}) {
    Builder b;
    const ValueId x = b.points(4, "x");
    const ValueId sizes = b.embedding(b.positions(x), 8, 1, "sizes");
    const ValueId q = b.linear(x, 6, true, "q"), k = b.linear(x, 6, true, "k"), v = b.linear(x, 4, true, "v");
    b.output("y", scores ? b.attention_scores(q, k, 2, "all", sizes) : b.attention(q, k, v, 2, sizes));
    const Graph graph = b.build();
    Weights weights = initial_weights(graph, 3);
    const std::vector<float> table{1, 0, 2, 0.5f, 0, 1, 0, 0};  // the last sample attends to nothing
    std::copy(table.begin(), table.end(), weights.mutable_at("sizes.weight").mutable_as<float>().begin());
    Tokens tokens({0, 7, 12}, 4, 5);
    GraphModule module(graph, weights, serial_executor());
    const auto batch = prepare(module, tokens.inputs());
    at::Tensor factors;
    const auto loss = [&] {
      const at::Tensor y = module.forward(batch, {"y"}, Mode::training)[0];
      if (!factors.defined()) {
        factors = at::empty_like(y);
        Rng rng(6);
        for (std::int64_t i = 0; i < y.numel(); ++i) factors.data_ptr<float>()[i] = static_cast<float>(rng.normal());
      }
      return (y * factors).sum();
    };
    module.clear_gradients();
    loss().backward();
    for (auto& p : module.parameters()) {
      if (p.name != "sizes.weight") continue;
      const at::Tensor gradient = p.value.grad().clone();
      at::NoGradGuard no_gradient;
      for (std::int64_t i = 0; i < 7; ++i) {
        const float before = p.value[i][0].item<float>();
        const double middle = loss().item<double>(), step = 2e-3;
        p.value[i][0] = before + static_cast<float>(step);
        const double above = loss().item<double>();
        p.value[i][0] = before;
        EXPECT_NEAR(gradient[i][0].item<double>(), (above - middle) / step,
                    2e-2 * (1 + std::abs(above - middle) / step))
            << "size " << i << (scores ? " of scores" : "");
      }
      EXPECT_GT(gradient[1][0].abs().item<double>(), 1e-4) << "a token that is masked learns, too";
    }
  }
}

TEST(HardGate, is_a_bernoulli_variable_with_the_gradient_of_a_sigmoid) {
  Builder b;
  const ValueId x = b.linear(b.points(4, "x"), 1, true, "log_odds");
  b.output("y", b.add("hard_gate", {x}, {{"temperature", 2.0}}, "gate")[0]);
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 1);
  for (float& w : weights.mutable_at("log_odds.weight").mutable_as<float>()) w = 0.0f;
  weights.mutable_at("log_odds.bias").mutable_as<float>()[0] = 1.0f;  // probability 0.731
  Tokens tokens({0, 40000}, 4, 5);
  GraphModule module(graph, weights, serial_executor());
  const auto batch = prepare(module, tokens.inputs());
  const auto gates = [&](std::uint64_t step) {
    module.set_random({7, step});
    return module.forward(batch, {"y"}, Mode::training)[0];
  };
  const at::Tensor y = gates(1);
  EXPECT_NEAR(y.mean().item<double>(), 1.0 / (1.0 + std::exp(-1.0)), 0.01);
  EXPECT_TRUE(at::equal(y, gates(1)));
  EXPECT_FALSE(at::equal(y, gates(2)));
  EXPECT_EQ(module.forward(batch, {"y"}, Mode::inference)[0].min().item<float>(), 1.0f) << "no noise: 1 > 0";
  module.clear_gradients();
  y.sum().backward();
  // Mean over logistic noise L of s (1 - s) / 2 with s = sigmoid((1 + L) / 2), by numerical integration.
  double expected = 0.0;
  for (int i = 0; i < 100000; ++i) {
    const double u = (i + 0.5) / 100000, s = 1.0 / (1.0 + std::exp(-(1.0 + std::log(u / (1 - u))) / 2));
    expected += s * (1 - s) / 2 / 100000;
  }
  for (auto& p : module.parameters())
    if (p.name == "log_odds.bias") {
      EXPECT_NEAR(p.value.grad()[0].item<double>() / 40000, expected, 2e-3);
    }
}

/// With the ratio loss of the paper; the class of an image is which half of it is bright.
TEST(Predictor, trains_with_the_ratio_loss_and_the_removing_network_takes_its_weights) {
  const Settings policy{{"predictor", 60}};
  Settings masked = policy;
  masked["masked"] = 1;
  const Graph training = small_vit(masked), removing = small_vit(policy);
  GraphModule module(training, initial_weights(training, 1), serial_executor());
  Images images(48, 7);
  const auto inputs = images.inputs();
  const auto batch = prepare(module, inputs);
  const at::Tensor labels = at::from_blob(images.labels.data(), {48}, at::kLong);
  std::vector<std::int64_t> begin;
  for (std::int64_t i = 0; i <= 48; ++i) begin.push_back(16 * i);
  double loss = 0.0, off = 0.0;
  for (int step = 0; step < 150; ++step) {
    module.clear_gradients();
    module.set_random({1, static_cast<std::uint64_t>(step)});
    const auto y = module.forward(batch, {"logits", "keep.1", "keep.2", "keep.3"}, Mode::training);
    const at::Tensor l = at::nll_loss(at::log_softmax(y[0], 1), labels);
    loss = l.item<double>();
    at::Tensor sum = l;
    off = 0.0;
    for (std::size_t s = 1; s <= 3; ++s) {
      const at::Tensor keep = y[s].detach().contiguous();
      at::Tensor gradient = at::empty_like(keep);
      off += keep_ratio_loss({keep.data_ptr<float>(), 768, 1, 1}, begin, std::pow(0.6, static_cast<double>(s)),
                             {gradient.data_ptr<float>(), 768, 1, 1});
      sum = sum + 2.0 * (y[s] * gradient).sum();
    }
    sum.backward();
    at::NoGradGuard no_gradient;
    for (auto& p : module.parameters())
      if (p.value.grad().defined()) p.value.sub_(p.value.grad(), 0.1);
  }
  EXPECT_LT(loss, 0.35);
  EXPECT_LT(off, 0.06);
  for (auto& p : module.parameters()) EXPECT_TRUE(std::isfinite(p.value.sum().item<float>())) << p.name;
  Session session(Model(removing, module.weights()));
  const auto logits = session.run(inputs)["logits"].matrix<const float>();
  int right = 0;
  for (std::int64_t i = 0; i < 48; ++i)
    right += (logits(i, 1) > logits(i, 0)) == (images.labels[static_cast<std::size_t>(i)] == 1) ? 1 : 0;
  EXPECT_GE(right, 43);
}

}  // namespace
}  // namespace rarefy::train
