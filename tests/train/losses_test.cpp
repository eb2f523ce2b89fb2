#include "train/losses.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rarefy/error.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy::train {
namespace {

struct Case {
  std::int64_t rows = 0, classes = 1;
  std::vector<double> logits;
  std::vector<std::uint8_t> labels;
  LossOptions options;
};

Case random_case(Rng& rng) {
  Case c;
  c.rows = rng.integer(0, 60);
  c.classes = rng.integer(1, 7);
  for (std::int64_t i = 0; i < c.rows * c.classes; ++i) c.logits.push_back(rng.uniform(-3, 3));
  for (std::int64_t i = 0; i < c.rows; ++i)
    c.labels.push_back(rng.chance(0.2) ? kIgnoredLabel : static_cast<std::uint8_t>(rng.integer(0, c.classes - 1)));
  if (rng.chance(0.5))
    for (std::int64_t i = 0; i < c.classes; ++i)
      c.options.class_weights.push_back(static_cast<float>(rng.uniform(0.2, 3)));
  c.options.cross_entropy = rng.uniform(0, 2);
  c.options.lovasz = rng.chance(0.3) ? 0.0 : rng.uniform(0.1, 2);
  return c;
}

/// Jaccard loss of class `c` when exactly the rows in `wrong` are mispredicted: |wrong| / |{y = c} or wrong|.
/// Equation 4.
double jaccard_loss(const std::vector<std::uint8_t>& labels, std::uint8_t c, const std::vector<std::size_t>& wrong) {
  double united = static_cast<double>(std::count(labels.begin(), labels.end(), c));
  for (const std::size_t r : wrong) united += labels[r] == c ? 0.0 : 1.0;
  return united > 0.0 ? static_cast<double>(wrong.size()) / united : 0.0;
}

/// Both losses from their definitions, in double.
double brute_force(const Case& c, const std::vector<double>& logits) {
  std::vector<std::vector<double>> p;
  std::vector<std::uint8_t> labels;
  double entropy = 0.0, weight = 0.0;
  for (std::int64_t r = 0; r < c.rows; ++r) {
    const std::uint8_t label = c.labels[static_cast<std::size_t>(r)];
    if (label == kIgnoredLabel) continue;
    std::vector<double> row(logits.begin() + r * c.classes, logits.begin() + (r + 1) * c.classes);
    double sum = 0.0;
    for (double& v : row) sum += v = std::exp(v);
    for (double& v : row) v /= sum;
    const double w = c.options.class_weights.empty() ? 1.0 : c.options.class_weights[label];
    entropy -= w * std::log(row[label]);
    weight += w;
    p.push_back(row);
    labels.push_back(label);
  }
  if (labels.empty()) return 0.0;
  double lovasz = 0.0, present = 0.0;
  for (std::int64_t k = 0; k < c.classes; ++k) {
    const auto own = static_cast<std::uint8_t>(k);
    if (std::count(labels.begin(), labels.end(), own) == 0) continue;
    ++present;
    const auto error = [&](std::size_t r) { return labels[r] == own ? 1.0 - p[r][own] : p[r][own]; };
    std::vector<std::size_t> order(labels.size()), wrong;
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return error(a) > error(b); });
    for (const std::size_t r : order) {  // equation 9: error times what this row adds to the loss of those before it
      const double before = jaccard_loss(labels, own, wrong);
      wrong.push_back(r);
      lovasz += error(r) * (jaccard_loss(labels, own, wrong) - before);
    }
  }
  return c.options.cross_entropy * entropy / weight + c.options.lovasz * lovasz / present;
}

TEST(SegmentationLoss, value_and_gradient_equal_the_definitions) {
  test::for_random_cases(60, [](Rng& rng) {
    const Case c = random_case(rng);
    const std::vector<float> logits(c.logits.begin(), c.logits.end());
    std::vector<float> gradient(logits.size(), 99.0f);
    LossScratch scratch;
    const LossValue value = segmentation_loss({logits.data(), c.rows, c.classes}, c.labels, c.options,
                                              serial_executor(), scratch, {gradient.data(), c.rows, c.classes});
    EXPECT_NEAR(value.total, brute_force(c, c.logits), 1e-5);
    for (int k = 0; k < 10 && !logits.empty(); ++k) {
      const auto i = static_cast<std::size_t>(rng.integer(0, static_cast<std::int64_t>(logits.size()) - 1));
      std::vector<double> moved = c.logits;
      constexpr double kStep = 1e-7;  // small: the Lovász loss has kinks where errors tie
      moved[i] += kStep;
      const double above = brute_force(c, moved);
      moved[i] -= 2 * kStep;
      EXPECT_NEAR(gradient[i], (above - brute_force(c, moved)) / (2 * kStep), 1e-4) << "logit " << i;
    }
  });
}

TEST(SegmentationLoss, perfect_prediction_costs_nothing) {
  const std::vector<float> logits{50, 0, 0, 50};
  const std::vector<std::uint8_t> labels{0, 1};
  std::vector<float> gradient(4);
  LossScratch scratch;
  const LossValue v =
      segmentation_loss({logits.data(), 2, 2}, labels, {}, serial_executor(), scratch, {gradient.data(), 2, 2});
  EXPECT_NEAR(v.total, 0.0, 1e-6);
}

TEST(SegmentationLoss, same_bits_for_any_number_of_threads) {
  Rng rng(3);
  const std::int64_t rows = 20000, classes = 19;
  std::vector<float> logits;
  std::vector<std::uint8_t> labels;
  for (std::int64_t i = 0; i < rows * classes; ++i) logits.push_back(static_cast<float>(rng.normal()));
  for (std::int64_t i = 0; i < rows; ++i)
    labels.push_back(rng.chance(0.1) ? kIgnoredLabel : static_cast<std::uint8_t>(rng.integer(0, 18)));
  const auto run = [&](Executor& executor) {
    std::vector<float> gradient(logits.size());
    LossScratch scratch;
    const double total = segmentation_loss({logits.data(), rows, classes}, labels, {}, executor, scratch,
                                           {gradient.data(), rows, classes})
                             .total;
    return std::pair(total, gradient);
  };
  const auto pool = make_thread_pool(4);
  EXPECT_EQ(run(serial_executor()), run(*pool));
}

TEST(SegmentationLoss, a_wrong_label_is_named) {
  const std::vector<float> logits{0, 0};
  const std::vector<std::uint8_t> labels{7};
  std::vector<float> gradient(2);
  LossScratch scratch;
  EXPECT_THROW(
      segmentation_loss({logits.data(), 1, 2}, labels, {}, serial_executor(), scratch, {gradient.data(), 1, 2}),
      UsageError);
}

TEST(BalancedWeights, rare_classes_weigh_more_and_the_mean_is_one) {
  const std::vector<std::int64_t> counts{900, 100, 0};
  const std::vector<float> w = balanced_weights(counts);
  EXPECT_NEAR(w[1] / w[0], 3.0, 1e-5);
  EXPECT_NEAR((w[0] + w[1]) / 2, 1.0, 1e-5);
  EXPECT_EQ(w[2], 1.0f);
}

TEST(KeepRatioLoss, value_and_gradient_by_hand) {
  const std::vector<float> keep{1, 0, 1, 1, 0, 1, 1};
  const std::vector<std::int64_t> begin{0, 4, 4, 7};  // shares 3/4 and 2/3, and a sample without rows
  std::vector<float> gradient(7);
  const double loss = keep_ratio_loss({keep.data(), 7, 1, 1}, begin, 0.5, {gradient.data(), 7, 1, 1});
  EXPECT_NEAR(loss, (0.25 * 0.25 + (2.0 / 3 - 0.5) * (2.0 / 3 - 0.5)) / 2, 1e-9);
  EXPECT_NEAR(gradient[1], 2 * 0.25 / 4 / 2, 1e-7);
  EXPECT_NEAR(gradient[6], 2 * (2.0 / 3 - 0.5) / 3 / 2, 1e-7);
  test::expect_error<ShapeError>(
      [&] {
        (void)keep_ratio_loss({keep.data(), 6, 1, 1}, begin, 0.5, {gradient.data(), 7, 1, 1});
      },
      {"7 rows", "6 x 1"});
}

}  // namespace
}  // namespace rarefy::train
