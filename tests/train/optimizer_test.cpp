#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rarefy/error.h"
#include "support/random_cases.h"

namespace rarefy::train {
namespace {

/// The published update rules, in double, one value at a time.
class Reference {
 public:
  explicit Reference(const OptimizerOptions& options) : o_(options) {}
  double step(double value, double g, double rate, bool decays) {
    ++t_;
    const double decay = decays ? o_.weight_decay : 0.0;
    if (o_.rule == Rule::sgd) {
      g += decay * value;
      m_ = t_ == 1 ? g : o_.momentum * m_ + g;
      return value - rate * (o_.nesterov ? g + o_.momentum * m_ : m_);
    }
    m_ = o_.beta1 * m_ + (1 - o_.beta1) * g;
    v_ = o_.beta2 * v_ + (1 - o_.beta2) * g * g;
    const double m = m_ / (1 - std::pow(o_.beta1, t_)), v = v_ / (1 - std::pow(o_.beta2, t_));
    return value - rate * decay * value - rate * m / (std::sqrt(v) + o_.epsilon);
  }

 private:
  OptimizerOptions o_;
  int t_ = 0;
  double m_ = 0.0, v_ = 0.0;
};

TEST(Optimizer, follows_the_published_rules) {
  test::for_random_cases(30, [](Rng& rng) {
    OptimizerOptions options;
    options.rule = rng.chance(0.5) ? Rule::adamw : Rule::sgd;
    options.nesterov = rng.chance(0.5);
    options.weight_decay = rng.uniform(0, 0.1);
    const std::vector<std::int64_t> sizes{3};
    Optimizer optimizer(options, sizes);
    std::vector<Reference> reference(3, Reference(options));
    std::vector<float> value{1.0f, -2.0f, 0.5f}, gradient(3);
    std::vector<double> expected(value.begin(), value.end());
    const bool decays = rng.chance(0.5);
    for (int t = 0; t < 20; ++t) {
      const double rate = rng.uniform(1e-3, 1e-2);
      for (std::size_t i = 0; i < 3; ++i) {
        gradient[i] = static_cast<float>(rng.normal());
        expected[i] = reference[i].step(expected[i], gradient[i], rate, decays);
      }
      const std::vector<ParameterSlot> slots{{value, gradient, decays}};
      optimizer.step(slots, rate, serial_executor());
      for (std::size_t i = 0; i < 3; ++i) ASSERT_NEAR(value[i], expected[i], 1e-5) << "step " << t;
    }
  });
}

TEST(ClipGradients, the_common_norm_is_bounded) {
  std::vector<float> a{3.0f}, b{4.0f};
  const std::vector<std::span<float>> both{a, b};
  EXPECT_DOUBLE_EQ(clip_gradients(both, 10.0, serial_executor()), 5.0);
  EXPECT_EQ(a[0], 3.0f);
  EXPECT_DOUBLE_EQ(clip_gradients(both, 1.0, serial_executor()), 5.0);
  EXPECT_NEAR(a[0], 0.6f, 1e-6);
  EXPECT_NEAR(b[0], 0.8f, 1e-6);
}

TEST(Optimizer, same_bits_for_any_number_of_threads) {
  const std::vector<std::int64_t> sizes{100'003, 5, 0, 70'000};
  const auto train = [&](Executor& executor) {
    Rng rng(11);
    Optimizer optimizer({}, sizes);
    std::vector<std::vector<float>> values, gradients, averages;
    for (const std::int64_t size : sizes) {
      values.emplace_back(static_cast<std::size_t>(size), 1.0f);
      gradients.emplace_back(static_cast<std::size_t>(size));
      averages.emplace_back(static_cast<std::size_t>(size), 0.5f);
    }
    for (int t = 0; t < 3; ++t) {
      std::vector<ParameterSlot> slots;
      std::vector<std::span<float>> all;
      std::vector<std::span<const float>> now;
      for (std::size_t s = 0; s < sizes.size(); ++s) {
        for (float& g : gradients[s]) g = static_cast<float>(rng.normal());
        all.emplace_back(gradients[s]);
        slots.push_back({values[s], gradients[s], true});
        now.emplace_back(values[s]);
      }
      clip_gradients(all, 1.0, executor);
      optimizer.step(slots, 1e-2, executor);
      move_averages(averages, now, 0.75, executor);
    }
    return std::pair(values, averages);
  };
  EXPECT_EQ(train(serial_executor()), train(*make_thread_pool(3)));
}

TEST(Averages, move_towards_the_values) {
  std::vector<std::vector<float>> averages{{1.0f, 2.0f}, {4.0f}};
  const std::vector<float> a{3.0f, -2.0f}, b{8.0f};
  const std::vector<std::span<const float>> values{a, b};
  move_averages(averages, values, 0.75, serial_executor());
  EXPECT_EQ(averages, (std::vector<std::vector<float>>{{1.5f, 1.0f}, {5.0f}}));
}

TEST(CosineSchedule, rises_then_falls) {
  EXPECT_DOUBLE_EQ(cosine_schedule(0.0, 0.1, 0.01), 0.0);
  EXPECT_DOUBLE_EQ(cosine_schedule(0.05, 0.1, 0.01), 0.5);
  EXPECT_DOUBLE_EQ(cosine_schedule(0.1, 0.1, 0.01), 1.0);
  EXPECT_NEAR(cosine_schedule(0.55, 0.1, 0.0), 0.5, 1e-12);
  EXPECT_NEAR(cosine_schedule(1.0, 0.1, 0.01), 0.01, 1e-12);
  EXPECT_NEAR(cosine_schedule(7.0, 0.1, 0.01), 0.01, 1e-12);
}

TEST(RuleFromName, unknown_names_are_refused) { EXPECT_THROW(rule_from_name("lion"), UsageError); }

}  // namespace
}  // namespace rarefy::train
