#include "kernels/batch_norm.h"

#include "conv_fixture.h"
#include "support/random_cases.h"
#include "wish.h"

namespace rarefy::test {
namespace {

constexpr float kEpsilon = 1e-3f;

/// Batch norm in double, one column at a time.
struct Column {
  double mean = 0.0, variance = 0.0;
  explicit Column(const std::vector<double>& x) {
    for (double v : x) mean += v;
    if (!x.empty()) mean /= static_cast<double>(x.size());
    for (double v : x) variance += (v - mean) * (v - mean);
    if (!x.empty()) variance /= static_cast<double>(x.size());
  }
  double normal(double v) const { return (v - mean) / std::sqrt(variance + kEpsilon); }
};

std::vector<double> column(Matrix<const float> m, std::int64_t c) {
  std::vector<double> v;
  for (std::int64_t r = 0; r < m.rows; ++r) v.push_back(m(r, c));
  return v;
}

/// A matrix, and parameters of each column.
struct Case {
  Guarded x;
  std::vector<float> mean, variance, gamma, beta;
  Case(Rng& rng, std::int64_t rows, std::int64_t cols, double offset = 2.0)
      : x(rows, cols, rng.integer(0, 3), rng.integer(0, 3)),
        mean(static_cast<std::size_t>(cols)),
        variance(static_cast<std::size_t>(cols)),
        gamma(random_vector(rng, cols)),
        beta(random_vector(rng, cols)) {
    x.fill([&](auto, auto c) { return offset * static_cast<double>(c % 3) + rng.normal(); });
  }
  void statistics(Executor& executor = serial_executor()) {
    batch_norm_statistics(x.view(), executor, mean.data(), variance.data());
  }
};

TEST(BatchNorm, statistics_match_double) {
  for_random_cases(20, [&](Rng& rng) {
    Case c(rng, rng.integer(1, 3000), rng.integer(1, 40));
    c.statistics();
    for (std::int64_t j = 0; j < c.x.view().cols; ++j) {
      const Column expected(column(c.x.view(), j));
      const auto i = static_cast<std::size_t>(j);
      EXPECT_NEAR(c.mean[i], expected.mean, 1e-6 * (1.0 + std::abs(expected.mean)));
      EXPECT_NEAR(c.variance[i], expected.variance, 1e-6 * (1.0 + expected.variance));
    }
  });
}

TEST(BatchNorm, statistics_survive_a_mean_far_from_zero) {
  Guarded x(4000, 1);
  x.fill([&](auto r, auto) { return 1.0e6 + static_cast<double>(r % 2); });  // variance 0.25, mean^2 10^12
  float mean = 0.0f, variance = 0.0f;
  batch_norm_statistics(x.view(), serial_executor(), &mean, &variance);
  EXPECT_FLOAT_EQ(mean, 1000000.5f);
  EXPECT_FLOAT_EQ(variance, 0.25f);
}

TEST(BatchNorm, no_rows_give_zero) {
  Guarded x(0, 3);
  std::vector<float> mean(3, 5.0f), variance(3, 5.0f), g(3, 5.0f), b(3, 5.0f);
  const std::vector<float> gamma(3, 1.0f);
  batch_norm_statistics(x.view(), serial_executor(), mean.data(), variance.data());
  EXPECT_EQ(mean, std::vector<float>(3, 0.0f));
  EXPECT_EQ(variance, std::vector<float>(3, 0.0f));
  batch_norm_gradient(x.view(), x.view(), {}, mean.data(), variance.data(), gamma.data(), kEpsilon, serial_executor(),
                      x.view(), g.data(), b.data());
  EXPECT_EQ(g, std::vector<float>(3, 0.0f));
  EXPECT_EQ(b, std::vector<float>(3, 0.0f));
}

TEST(BatchNorm, apply_matches_double_with_residual_and_activation) {
  for_random_cases(20, [&](Rng& rng) {
    Case c(rng, rng.integer(0, 2500), rng.chance(0.1) ? 300 : rng.integer(1, 40));
    c.statistics();
    const Matrix<float> x = c.x.view();
    Guarded residual(x.rows, x.cols, 1), y(x.rows, x.cols, 2, 1);
    residual.normal(rng);
    const bool add = rng.chance(0.5);
    const auto activation = static_cast<Activation>(rng.integer(0, 2));
    batch_norm_apply(x, c.mean.data(), c.variance.data(), c.gamma.data(), c.beta.data(), kEpsilon,
                     add ? Matrix<const float>(residual.view()) : Matrix<const float>{}, activation, 0.25f,
                     serial_executor(), y.view());
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const auto i = static_cast<std::size_t>(j);
      const double scale = c.gamma[i] / std::sqrt(double{c.variance[i]} + kEpsilon);
      for (std::int64_t r = 0; r < x.rows; ++r) {
        double v = (double{x(r, j)} - c.mean[i]) * scale + c.beta[i] + (add ? residual.view()(r, j) : 0.0f);
        if (v < 0.0 && activation != Activation::none) v *= activation == Activation::relu ? 0.0 : 0.25;
        ASSERT_NEAR(y.view()(r, j), v, 2e-6 * (std::abs(x(r, j) * scale) + std::abs(c.mean[i] * scale) + 4.0));
      }
    }
    EXPECT_TRUE(y.intact());
    // in place
    batch_norm_apply(x, c.mean.data(), c.variance.data(), c.gamma.data(), c.beta.data(), kEpsilon,
                     add ? Matrix<const float>(residual.view()) : Matrix<const float>{}, activation, 0.25f,
                     serial_executor(), x);
    EXPECT_TRUE(same_bits(x, y.view()));
    EXPECT_TRUE(c.x.intact());
  });
}

/// sum of w * batch_norm(x) in double: its derivative by finite differences judges the gradient.
double loss(const std::vector<double>& x, const std::vector<double>& w, double gamma, double beta) {
  const Column stats(x);
  double sum = 0.0;
  for (std::size_t r = 0; r < x.size(); ++r) sum += w[r] * (gamma * stats.normal(x[r]) + beta);
  return sum;
}

TEST(BatchNorm, gradient_matches_finite_differences) {
  for_random_cases(10, [&](Rng& rng) {
    Case c(rng, rng.integer(2, 40), rng.integer(1, 20));
    c.statistics();
    const Matrix<float> x = c.x.view();
    Guarded g(x.rows, x.cols, 1), gx(x.rows, x.cols, 2, 1);
    g.normal(rng);
    std::vector<float> g_gamma(c.gamma), g_beta(c.beta);
    batch_norm_gradient(x, g.view(), {}, c.mean.data(), c.variance.data(), c.gamma.data(), kEpsilon, serial_executor(),
                        gx.view(), g_gamma.data(), g_beta.data());
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const auto i = static_cast<std::size_t>(j);
      auto xs = column(x, j);
      const auto w = column(g.view(), j);
      const double gamma = c.gamma[i], beta = c.beta[i], h = 1e-5;
      EXPECT_NEAR(g_gamma[i], (loss(xs, w, gamma + h, beta) - loss(xs, w, gamma - h, beta)) / (2 * h), 1e-4);
      EXPECT_NEAR(g_beta[i], (loss(xs, w, gamma, beta + h) - loss(xs, w, gamma, beta - h)) / (2 * h), 1e-4);
      const double scale = std::abs(gamma) / std::sqrt(double{c.variance[i]} + kEpsilon) + 1.0;
      for (std::size_t r = 0; r < xs.size(); ++r) {
        const double at = xs[r];
        xs[r] = at + h;
        const double above = loss(xs, w, gamma, beta);
        xs[r] = at - h;
        const double below = loss(xs, w, gamma, beta);
        xs[r] = at;
        ASSERT_NEAR(gx.view()(static_cast<std::int64_t>(r), j), (above - below) / (2 * h), 1e-4 * scale);
      }
    }
    EXPECT_TRUE(gx.intact());
  });
}

TEST(BatchNorm, gradient_matches_double_on_many_rows_and_in_place) {
  Rng rng(2);
  Case c(rng, 5000, 7);
  c.statistics();
  const Matrix<float> x = c.x.view();
  Guarded g(x.rows, x.cols), gx(x.rows, x.cols);
  g.normal(rng);
  std::vector<float> g_gamma(7), g_beta(7);
  batch_norm_gradient(x, g.view(), {}, c.mean.data(), c.variance.data(), c.gamma.data(), kEpsilon, serial_executor(),
                      gx.view(), g_gamma.data(), g_beta.data());
  for (std::int64_t j = 0; j < 7; ++j) {
    const auto i = static_cast<std::size_t>(j);
    const auto xs = column(x, j), gs = column(g.view(), j);
    const Column stats(xs);
    double sum = 0.0, weighted = 0.0;
    for (std::size_t r = 0; r < xs.size(); ++r) {
      sum += gs[r];
      weighted += gs[r] * stats.normal(xs[r]);
    }
    EXPECT_NEAR(g_beta[i], sum, 1e-3);
    EXPECT_NEAR(g_gamma[i], weighted, 1e-3);
    for (std::size_t r = 0; r < xs.size(); ++r) {
      const double n = static_cast<double>(xs.size());
      const double expected =
          c.gamma[i] / std::sqrt(stats.variance + kEpsilon) * (gs[r] - sum / n - stats.normal(xs[r]) * weighted / n);
      ASSERT_NEAR(gx.view()(static_cast<std::int64_t>(r), j), expected, 1e-5);
    }
  }
  batch_norm_gradient(x, g.view(), {}, c.mean.data(), c.variance.data(), c.gamma.data(), kEpsilon, serial_executor(),
                      g.view(), g_gamma.data(), g_beta.data());
  EXPECT_TRUE(same_bits(g.view(), gx.view()));
}

TEST(BatchNorm, gradient_through_relu_and_residual_is_that_of_the_masked_gradient) {
  for_random_cases(20, [&](Rng& rng) {
    Case c(rng, rng.integer(1, 2500), rng.integer(1, 40));
    c.statistics();
    const Matrix<float> x = c.x.view();
    Guarded g(x.rows, x.cols, 1), output(x.rows, x.cols, 2), masked(x.rows, x.cols), expected(x.rows, x.cols);
    Guarded gx(x.rows, x.cols, 3, 1), passed(x.rows, x.cols, 1, 2);
    g.normal(rng);
    output.fill([&](auto, auto) { return std::max(0.0, rng.normal()); });
    masked.fill([&](auto r, auto j) { return output.view()(r, j) > 0.0f ? g.view()(r, j) : 0.0f; });
    std::vector<float> gamma_expected(c.gamma), beta_expected(c.gamma), g_gamma(c.gamma), g_beta(c.gamma);
    batch_norm_gradient(x, masked.view(), {}, c.mean.data(), c.variance.data(), c.gamma.data(), kEpsilon,
                        serial_executor(), expected.view(), gamma_expected.data(), beta_expected.data());
    batch_norm_gradient(x, g.view(), {output.view(), passed.view()}, c.mean.data(), c.variance.data(), c.gamma.data(),
                        kEpsilon, serial_executor(), gx.view(), g_gamma.data(), g_beta.data());
    EXPECT_TRUE(same_bits(gx.view(), expected.view()));
    EXPECT_TRUE(same_bits(passed.view(), masked.view()));
    EXPECT_EQ(g_gamma, gamma_expected);
    EXPECT_EQ(g_beta, beta_expected);
    EXPECT_TRUE(gx.intact() && passed.intact());
  });
}

TEST(BatchNorm, same_bits_for_any_number_of_threads) {
  Rng rng(3);
  const auto pool = make_thread_pool(4);
  Case one(rng, 9000, 19);
  Case four = one;
  one.statistics();
  four.statistics(*pool);
  EXPECT_EQ(one.mean, four.mean);
  EXPECT_EQ(one.variance, four.variance);
  Guarded g(9000, 19), gx_one(9000, 19), gx_four(9000, 19);
  g.normal(rng);
  std::vector<float> gg_one(19), gb_one(19), gg_four(19), gb_four(19), sum_one(19), sum_four(19);
  batch_norm_gradient(one.x.view(), g.view(), {}, one.mean.data(), one.variance.data(), one.gamma.data(), kEpsilon,
                      serial_executor(), gx_one.view(), gg_one.data(), gb_one.data());
  batch_norm_gradient(one.x.view(), g.view(), {}, one.mean.data(), one.variance.data(), one.gamma.data(), kEpsilon,
                      *pool, gx_four.view(), gg_four.data(), gb_four.data());
  EXPECT_TRUE(same_bits(gx_one.view(), gx_four.view()));
  EXPECT_EQ(gg_one, gg_four);
  EXPECT_EQ(gb_one, gb_four);
  column_sums(g.view(), serial_executor(), sum_one.data());
  column_sums(g.view(), *pool, sum_four.data());
  EXPECT_EQ(sum_one, sum_four);
}

/// Everything that batch norm computes of one case.
struct Results {
  std::vector<float> mean, variance, g_gamma, g_beta, sums;
  Guarded y, gx, passed;
  explicit Results(const Case& c, Matrix<const float> g, Matrix<const float> residual)
      : mean(c.mean),
        variance(c.mean),
        g_gamma(c.mean),
        g_beta(c.mean),
        sums(c.mean),
        y(g.rows, g.cols),
        gx(g.rows, g.cols, 1),
        passed(g.rows, g.cols, 2) {
    Case copy = c;
    const Matrix<float> x = copy.x.view();
    batch_norm_statistics(x, serial_executor(), mean.data(), variance.data());
    batch_norm_apply(x, mean.data(), variance.data(), c.gamma.data(), c.beta.data(), kEpsilon, residual,
                     Activation::relu, 0.0f, serial_executor(), y.view());
    batch_norm_gradient(x, g, {y.view(), passed.view()}, mean.data(), variance.data(), c.gamma.data(), kEpsilon,
                        serial_executor(), gx.view(), g_gamma.data(), g_beta.data());
    column_sums(g, serial_executor(), sums.data());
  }
};

TEST(BatchNorm, instruction_sets_agree) {
  for_random_cases(10, [&](Rng& rng) {
    const std::int64_t rows = rng.integer(1, 1500), cols = rng.integer(1, 70);
    const Case c(rng, rows, cols);
    Guarded g(rows, cols, 3, 1), residual(rows, cols);
    g.normal(rng);
    // Far from where the ReLU bends: the last bit must not decide what passes.
    residual.fill([&](auto, auto) { return rng.chance(0.5) ? 100.0 : -100.0; });
    const auto run = [&](const char* isa) {
      const Wish wish(isa);
      return Results(c, g.view(), residual.view());
    };
    Results expected = run("portable");
    for (const cpu::Isa isa : {cpu::Isa::avx2, cpu::Isa::avx512}) {
      if (!cpu::has(isa)) continue;
      Results found = run(std::string(cpu::name(isa)).c_str());
      const auto near = [](float a, float b) { EXPECT_NEAR(a, b, 1e-5 * (1.0 + std::abs(b))); };
      for (std::size_t i = 0; i < c.mean.size(); ++i) {
        near(found.mean[i], expected.mean[i]);
        near(found.variance[i], expected.variance[i]);
        near(found.g_gamma[i], expected.g_gamma[i]);
        near(found.g_beta[i], expected.g_beta[i]);
        near(found.sums[i], expected.sums[i]);
      }
      for (std::int64_t r = 0; r < g.view().rows; ++r) {
        for (std::int64_t j = 0; j < g.view().cols; ++j) {
          near(found.y.view()(r, j), expected.y.view()(r, j));
          near(found.gx.view()(r, j), expected.gx.view()(r, j));
          near(found.passed.view()(r, j), expected.passed.view()(r, j));
        }
      }
    }
  });
}

TEST(BatchNorm, not_a_number_stays_in_its_column) {
  Rng rng(4);
  Case c(rng, 50, 3);
  c.x.view()(20, 1) = std::numeric_limits<float>::quiet_NaN();
  c.statistics();
  EXPECT_TRUE(std::isnan(c.mean[1]) && std::isnan(c.variance[1]));
  EXPECT_TRUE(std::isfinite(c.mean[0]) && std::isfinite(c.variance[2]));
}

TEST(BatchNorm, shapes_that_do_not_fit_are_errors) {
  Guarded x(5, 3), y(5, 4);
  std::vector<float> v(4, 1.0f);
  EXPECT_THROW(batch_norm_apply(x.view(), v.data(), v.data(), v.data(), v.data(), kEpsilon, {}, Activation::none, 0.0f,
                                serial_executor(), y.view()),
               ShapeError);
  EXPECT_THROW(batch_norm_apply(x.view(), v.data(), v.data(), v.data(), v.data(), kEpsilon, y.view(), Activation::none,
                                0.0f, serial_executor(), x.view()),
               ShapeError);
  EXPECT_THROW(batch_norm_gradient(x.view(), y.view(), {}, v.data(), v.data(), v.data(), kEpsilon, serial_executor(),
                                   x.view(), v.data(), v.data()),
               ShapeError);
}

TEST(ColumnSums, match_double) {
  for_random_cases(10, [&](Rng& rng) {
    Guarded g(rng.integer(0, 3000), rng.integer(1, 40), rng.integer(0, 3), rng.integer(0, 3));
    g.normal(rng);
    std::vector<float> sums(static_cast<std::size_t>(g.view().cols), 9.0f);
    column_sums(g.view(), serial_executor(), sums.data());
    for (std::int64_t c = 0; c < g.view().cols; ++c) {
      double expected = 0.0;
      for (double v : column(g.view(), c)) expected += v;
      EXPECT_NEAR(sums[static_cast<std::size_t>(c)], expected, 1e-6 * (1.0 + std::abs(expected)));
    }
  });
}

}  // namespace
}  // namespace rarefy::test
