/// What stands for the derivative of rounding: straight-through, and the scale's gradient of LSQ.
#include <gtest/gtest.h>

#include <cmath>

#include "graph/example.h"
#include "rarefy/builder.h"
#include "support/examples.h"
#include "support/random_cases.h"
#include "train/batches.h"
#include "train/graph_module.h"

namespace rarefy::train {
namespace {

TEST(QuantizeGradient, is_straight_through_within_the_range_and_lsq_for_the_scale) {
  test::for_random_cases(10, [](Rng& rng) {
    const auto bits = static_cast<int>(rng.integer(2, 8));
    const bool has_sign = rng.chance(0.5);
    const std::int64_t channels = rng.integer(1, 9);
    Builder b;
    const ValueId x = b.sparse_input(channels, 2);
    // A layer that multiplies by one, so that the gradient of x can be read from its bias.
    const ValueId shifted = b.linear(x, channels, true, "shift");
    b.output("y", b.add("quantize", {shifted},
                        {{"bits", std::int64_t{bits}}, {"has_sign", std::int64_t{has_sign ? 1 : 0}}}, "q")[0]);
    const Graph graph = b.build();
    Weights weights = initial_weights(graph, 1);
    const auto identity = weights.mutable_at("shift.weight").mutable_as<float>();
    for (std::size_t i = 0; i < identity.size(); ++i)
      identity[i] = i % static_cast<std::size_t>(channels + 1) == 0 ? 1.0f : 0.0f;
    const double most = (1 << (has_sign ? bits - 1 : bits)) - 1, least = has_sign ? -most : 0.0;
    const auto scale = static_cast<float>(2.0 / most);
    weights.mutable_at("q.scale").mutable_as<float>()[0] = scale;

    OpExample example{graph, weights, {random_sparse_data("x", 2, 1, channels, rng.integer(1, 60), 1, rng)}};
    GraphModule module(graph, weights, serial_executor());
    auto batch = std::make_shared<Prepared>();
    module.preparer().prepare(test::inputs_of(example), serial_executor(), *batch);
    const at::Tensor y = module.forward(batch, {"y"}, Mode::training)[0];
    at::Tensor g = at::empty(y.sizes(), at::kFloat);
    for (std::int64_t i = 0; i < g.numel(); ++i) g.data_ptr<float>()[i] = static_cast<float>(rng.normal());
    y.backward(g);

    std::vector<double> of_bias(static_cast<std::size_t>(channels), 0.0);
    double of_scale = 0.0;
    // Rows of the module are those of the runtime: sorted sites.
    const auto values = oracle::run(graph, weights, example.inputs).at("shift").values;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double steps = static_cast<float>(values[i]) * (1.0f / scale), gradient = g.data_ptr<float>()[i];
      const bool inside = steps >= least && steps <= most;
      if (inside) of_bias[i % of_bias.size()] += gradient;
      const double stored = std::min(std::max(std::nearbyint(steps), least), most);
      of_scale += gradient * (inside ? stored - steps : stored);
    }
    of_scale /= std::sqrt(static_cast<double>(values.size()) * most);
    for (const auto& p : module.parameters()) {
      if (p.name == "q.scale") {
        EXPECT_NEAR(p.value.grad().item<float>(), of_scale, 1e-4 * (1 + std::abs(of_scale)));
      }
      if (p.name != "shift.bias") continue;
      for (std::int64_t c = 0; c < channels; ++c)
        EXPECT_NEAR(p.value.grad().data_ptr<float>()[c], of_bias[static_cast<std::size_t>(c)], 1e-4);
    }
  });
}

TEST(QuantizeGradient, of_a_rounded_weight_is_that_of_the_weight_it_was_rounded_to) {
  Rng rng(3);
  Builder b;
  const ValueId x = b.sparse_input(5, 2);
  b.output("y", b.add("linear", {x},
                      {{"channels", std::int64_t{4}}, {"bias", std::int64_t{0}}, {"weight_bits", std::int64_t{3}}},
                      "layer")[0]);
  const Graph graph = b.build();
  const Weights weights = initial_weights(graph, 2);
  const OpExample example{graph, weights, {random_sparse_data("x", 2, 1, 5, 20, 1, rng)}};
  GraphModule module(graph, weights, serial_executor());
  auto batch = std::make_shared<Prepared>();
  module.preparer().prepare(test::inputs_of(example), serial_executor(), *batch);
  const at::Tensor y = module.forward(batch, {"y"}, Mode::training)[0];
  y.backward(at::ones_like(y));
  const auto rows = oracle::run(graph, weights, example.inputs).at("x:1").values;
  for (const auto& p : module.parameters()) {
    for (std::int64_t c = 0; c < 5; ++c) {
      double sum = 0;
      for (std::size_t r = 0; r < rows.size() / 5; ++r) sum += rows[r * 5 + static_cast<std::size_t>(c)];
      for (std::int64_t j = 0; j < 4; ++j)
        EXPECT_NEAR(p.value.grad().contiguous().data_ptr<float>()[c * 4 + j], sum, 1e-4);
    }
  }
}

}  // namespace
}  // namespace rarefy::train
