/// Transformers in training: the interpreter equals the session, every parameter gets a gradient, and a small ViT
/// learns.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "rarefy/models.h"
#include "rarefy/session.h"
#include "train/graph_module.h"

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
  for (const Settings& policy :
       {Settings{}, Settings{{"merge", 2}}, Settings{{"keep", 60}}, Settings{{"threshold", 950}}}) {
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

}  // namespace
}  // namespace rarefy::train
