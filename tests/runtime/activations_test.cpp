/// Element-wise ops against formulas written down a second time: the table's expressions also make the graph oracle.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "rarefy/builder.h"
#include "rarefy/session.h"

namespace rarefy {
namespace {

struct Activation {
  std::string op;
  double alpha;
  std::function<double(double)> value;
};

/// Nothing shared with elementwise.inc: by definition, integrals and limits where there are any.
std::vector<Activation> activations() {
  const auto logistic = [](double x) { return 0.5 * (1.0 + std::tanh(0.5 * x)); };
  const auto clamp = [](double x, double low, double high) { return std::min(std::max(x, low), high); };
  const auto normal_share = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  const double pi = std::acos(-1.0);
  return {{"relu", 0.0, [](double x) { return std::max(x, 0.0); }},
          {"leaky_relu", 0.01, [](double x) { return std::max(x, 0.01 * x); }},
          {"elu", 1.0, [](double x) { return std::max(x, 0.0) + std::min(0.0, std::exp(x) - 1.0); }},
          {"elu", 0.5, [](double x) { return std::max(x, 0.0) + std::min(0.0, 0.5 * (std::exp(x) - 1.0)); }},
          {"gelu", 0.0, [=](double x) { return x * normal_share(x); }},
          {"gelu_tanh", 0.0,
           [=](double x) { return x * logistic(2.0 * std::sqrt(2.0 / pi) * (x + 0.044715 * std::pow(x, 3))); }},
          {"silu", 0.0, [=](double x) { return x * logistic(x); }},
          {"sigmoid", 0.0, logistic},
          {"tanh", 0.0, [=](double x) { return 2.0 * logistic(2.0 * x) - 1.0; }},
          {"hardswish", 0.0, [=](double x) { return x * clamp(x + 3.0, 0.0, 6.0) / 6.0; }},
          {"hardsigmoid", 1.0 / 6.0, [=](double x) { return clamp(x + 3.0, 0.0, 6.0) / 6.0; }},
          {"hardsigmoid", 0.2, [=](double x) { return clamp(0.2 * x + 0.5, 0.0, 1.0); }},
          {"softplus", 0.0, [](double x) { return std::log(1.0 + std::exp(x)); }},
          {"scale", 2.5, [](double x) { return 2.5 * x; }}};
}

std::vector<float> apply(const Activation& a, std::vector<float> x) {
  Builder b;
  b.output("y", b.add(a.op, {b.sparse_input(1, 1)}, {{"alpha", a.alpha}})[0]);
  std::vector<std::int32_t> coords;
  for (std::size_t i = 0; i < x.size(); ++i) {
    coords.push_back(0);
    coords.push_back(static_cast<std::int32_t>(i));
  }
  Session session(Model(b.build(), {}));
  const auto rows = static_cast<std::int64_t>(x.size());
  const Outputs& found =
      session.run({{"x", SparseView{coords.data(), {x.data(), Dtype::f32, Device::cpu, rows, 1, 1}, 1}}});
  const auto y = found["y"].as<float>();
  return {y.begin(), y.end()};
}

TEST(Activations, are_what_they_are_called) {
  std::vector<float> x{-3.0f, 3.0f, 0.0f, -2.5f, 2.5f};
  for (int i = -160; i <= 160; ++i) x.push_back(static_cast<float>(i) / 16.0f);
  for (const Activation& a : activations()) {
    const std::vector<float> y = apply(a, x);
    for (std::size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(y[i], a.value(static_cast<double>(x[i])), 2e-6 * std::max(1.0, std::abs(static_cast<double>(x[i]))))
          << a.op << "(" << x[i] << ")";
  }
}

TEST(Activations, large_values_neither_overflow_nor_vanish) {
  for (const Activation& a : activations()) {
    const std::vector<float> y = apply(a, {-1e4f, 1e4f, std::numeric_limits<float>::quiet_NaN()});
    const bool bounded = a.op == "sigmoid" || a.op == "hardsigmoid" || a.op == "tanh";
    EXPECT_TRUE(std::isfinite(y[0])) << a.op;
    EXPECT_NEAR(y[1], bounded ? 1.0 : a.op == "scale" ? 2.5e4 : 1e4, 1.0) << a.op;
    EXPECT_TRUE(std::isnan(y[2])) << a.op;
  }
}

}  // namespace
}  // namespace rarefy
