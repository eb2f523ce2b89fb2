/// Pooling over maps and over samples, and its gradients, of every instruction set against double precision.
#include "kernels/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "conv_fixture.h"
#include "rarefy/error.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

constexpr Pooling kPoolings[] = {Pooling::sum, Pooling::mean, Pooling::max};

/// Pools lists of rows, in their order; the gradient of a maximum goes to the first of equal ones.
struct Judge {
  std::vector<std::vector<std::int64_t>> members;  ///< by output row

  double value(Matrix<const float> x, std::int64_t row, std::int64_t c, Pooling pooling) const {
    const auto& mine = members[static_cast<std::size_t>(row)];
    if (mine.empty()) return 0.0;
    if (pooling == Pooling::max) return x(winner(x, row, c), c);
    double sum = 0.0;
    for (const std::int64_t r : mine) sum += x(r, c);
    return pooling == Pooling::mean ? sum / static_cast<double>(mine.size()) : sum;
  }
  /// Of the rounding errors of a sum: epsilon times the additions in float32 (of a part of the rows) times magnitudes.
  double bound(Matrix<const float> x, std::int64_t row, std::int64_t c, Pooling pooling) const {
    const auto& mine = members[static_cast<std::size_t>(row)];
    double magnitude = 0.0;
    for (const std::int64_t r : mine) magnitude += std::abs(x(r, c));
    if (pooling == Pooling::mean && !mine.empty()) magnitude /= static_cast<double>(mine.size());
    const auto additions = static_cast<double>(std::min<std::size_t>(mine.size(), 1024) + 2);
    return std::numeric_limits<float>::epsilon() * additions * magnitude;
  }
  std::int64_t winner(Matrix<const float> x, std::int64_t row, std::int64_t c) const {
    std::int64_t best = members[static_cast<std::size_t>(row)][0];
    for (const std::int64_t r : members[static_cast<std::size_t>(row)]) {
      if (std::isnan(x(best, c))) break;
      if (x(r, c) > x(best, c) || std::isnan(x(r, c))) best = r;
    }
    return best;
  }
  std::vector<double> gradient(Matrix<const float> x, Matrix<const float> g, Pooling pooling) const {
    std::vector<double> gx(static_cast<std::size_t>(x.rows * x.cols), 0.0);
    for (std::int64_t o = 0; o < g.rows; ++o) {
      const auto& mine = members[static_cast<std::size_t>(o)];
      if (mine.empty()) continue;
      for (std::int64_t c = 0; c < x.cols; ++c) {
        if (pooling == Pooling::max) {
          gx[static_cast<std::size_t>(winner(x, o, c) * x.cols + c)] += g(o, c);
          continue;
        }
        const double share = pooling == Pooling::mean ? 1.0 / static_cast<double>(mine.size()) : 1.0;
        for (const std::int64_t r : mine) gx[static_cast<std::size_t>(r * x.cols + c)] += g(o, c) * share;
      }
    }
    return gx;
  }
};

void expect_pooled(Matrix<const float> y, const Judge& judge, Matrix<const float> x, Pooling pooling) {
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (std::int64_t c = 0; c < y.cols; ++c) {
      const double bound = pooling == Pooling::max ? 0.0 : judge.bound(x, r, c, pooling);
      ASSERT_NEAR(y(r, c), judge.value(x, r, c, pooling), bound) << "row " << r << ", column " << c;
    }
}

void expect_gradient(Matrix<const float> gx, const std::vector<double>& expected) {
  for (std::int64_t r = 0; r < gx.rows; ++r)
    for (std::int64_t c = 0; c < gx.cols; ++c)
      ASSERT_NEAR(gx(r, c), expected[static_cast<std::size_t>(r * gx.cols + c)], 2e-5)
          << "row " << r << ", column " << c;
}

/// Values with many ties, so that which of equal ones wins is seen.
void fill_with_ties(Guarded& x, Rng& rng, bool ties) {
  if (ties)
    x.fill([&](auto, auto) { return static_cast<double>(rng.integer(-1, 1)); });
  else
    x.normal(rng);
}

class Pool : public testing::TestWithParam<cpu::Isa> {
 protected:
  void SetUp() override {
    if (!cpu::has(GetParam())) GTEST_SKIP() << "this CPU (" << cpu::model_name() << ") lacks " << cpu::name(GetParam());
  }
};

TEST_P(Pool, over_a_map_equals_the_oracle_forward_and_backward) {
  const auto threads = make_thread_pool(4);
  for_random_cases(60, [&](Rng& rng) {
    const bool submanifold = rng.chance(0.5);
    const KernelMap map = submanifold ? oracle::random_submanifold_map(rng, 900, 3)
                                      : oracle::random_map(rng, rng.integer(0, 500), rng.integer(0, 700), 8, 0.3);
    const KernelMap back = oracle::transposed(map);
    const std::int64_t channels = any_channels(rng);
    Guarded x(map.in_rows, channels, rng.integer(0, 3), rng.integer(0, 3)), g(map.out_rows, channels, 1);
    fill_with_ties(x, rng, rng.chance(0.5));
    g.normal(rng);
    // Members of a row in the order of the offsets.
    Judge judge{std::vector<std::vector<std::int64_t>>(static_cast<std::size_t>(map.out_rows))};
    for (const auto& p : oracle::pairs_of(map)) judge.members[static_cast<std::size_t>(p.out)].push_back(p.in);
    for (const Pooling pooling : kPoolings) {
      Guarded y(map.out_rows, channels, 2, 1), threaded(map.out_rows, channels), gx(map.in_rows, channels, 1);
      std::vector<std::int32_t> winner(static_cast<std::size_t>(map.out_rows * channels), -7);
      pool_forward(GetParam(), x.view(), map, pooling, serial_executor(), y.view(),
                   pooling == Pooling::max ? winner.data() : nullptr);
      expect_pooled(y.view(), judge, x.view(), pooling);
      EXPECT_TRUE(y.intact());
      pool_forward(GetParam(), x.view(), map, pooling, *threads, threaded.view());
      EXPECT_TRUE(same_bits(y.view(), threaded.view()));
      AlignedBuffer scratch;
      const auto expected = judge.gradient(x.view(), g.view(), pooling);
      pool_gradient(GetParam(), g.view(), map, back, WeightOrder::transposed, pooling, winner.data(), *threads, scratch,
                    gx.view());
      expect_gradient(gx.view(), expected);
      EXPECT_TRUE(gx.intact());
      if (!submanifold) continue;
      pool_gradient(GetParam(), g.view(), map, map, WeightOrder::transposed_flipped, pooling, winner.data(),
                    serial_executor(), scratch, gx.view());
      expect_gradient(gx.view(), expected);
    }
  });
}

/// Uneven samples, many of them empty.
std::vector<std::int64_t> random_samples(Rng& rng) {
  std::vector<std::int64_t> begin{0};
  const std::int64_t samples = rng.integer(0, 12);
  for (std::int64_t s = 0; s < samples; ++s)
    begin.push_back(begin.back() + (rng.chance(0.3)   ? 0
                                    : rng.chance(0.3) ? rng.integer(900, 4000)
                                                      : rng.integer(1, 300)));
  return begin;
}

TEST_P(Pool, over_samples_equals_the_oracle_forward_and_backward) {
  const auto threads = make_thread_pool(4);
  for_random_cases(60, [&](Rng& rng) {
    const auto begin = random_samples(rng);
    const auto samples = static_cast<std::int64_t>(begin.size()) - 1;
    const std::int64_t channels = any_channels(rng);
    Guarded x(begin.back(), channels, rng.integer(0, 3), rng.integer(0, 3)), g(samples, channels, 1);
    fill_with_ties(x, rng, rng.chance(0.5));
    g.normal(rng);
    Judge judge;
    for (std::int64_t s = 0; s < samples; ++s) {
      judge.members.emplace_back();
      for (std::int64_t r = begin[static_cast<std::size_t>(s)]; r < begin[static_cast<std::size_t>(s + 1)]; ++r)
        judge.members.back().push_back(r);
    }
    AlignedBuffer scratch;
    for (const Pooling pooling : kPoolings) {
      Guarded y(samples, channels, 2, 1), threaded(samples, channels), gx(begin.back(), channels, 1);
      std::vector<std::int32_t> winner(static_cast<std::size_t>(samples * channels), -7);
      std::int32_t* winners = pooling == Pooling::max ? winner.data() : nullptr;
      pool_samples(GetParam(), x.view(), begin, pooling, serial_executor(), scratch, y.view(), winners);
      expect_pooled(y.view(), judge, x.view(), pooling);
      EXPECT_TRUE(y.intact());
      pool_samples(GetParam(), x.view(), begin, pooling, *threads, scratch, threaded.view());
      EXPECT_TRUE(same_bits(y.view(), threaded.view()));
      pool_samples_gradient(g.view(), begin, pooling, winners, *threads, gx.view());
      expect_gradient(gx.view(), judge.gradient(x.view(), g.view(), pooling));
      EXPECT_TRUE(gx.intact());
    }
    // Spreading is the adjoint of the sum.
    Guarded spread(begin.back(), channels, 1);
    broadcast_samples(g.view(), begin, Share::whole, *threads, spread.view());
    expect_gradient(spread.view(), judge.gradient(x.view(), g.view(), Pooling::sum));
  });
}

TEST_P(Pool, a_nan_wins_and_infinities_are_ordinary) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values{-kInfinity, 1.0f, -kInfinity, kNan, -kInfinity, kNan, -kInfinity, 5.0f};
  Guarded x(4, 2);
  x.fill([&](auto r, auto c) { return values[static_cast<std::size_t>(2 * r + c)]; });
  const KernelMap map = oracle::make_map({{0, 0, 0}, {1, 0, 1}, {2, 0, 2}, {3, 0, 3}}, 4, 1, 4);
  const std::vector<std::int64_t> begin{0, 4};
  AlignedBuffer scratch;
  for (const bool samples : {false, true}) {
    Guarded y(1, 2);
    std::vector<std::int32_t> winner(2);
    if (samples)
      pool_samples(GetParam(), x.view(), begin, Pooling::max, serial_executor(), scratch, y.view(), winner.data());
    else
      pool_forward(GetParam(), x.view(), map, Pooling::max, serial_executor(), y.view(), winner.data());
    EXPECT_EQ(y.view()(0, 0), -kInfinity);
    EXPECT_TRUE(std::isnan(y.view()(0, 1)));
    EXPECT_EQ(winner, (std::vector<std::int32_t>{0, 1}));
  }
}

TEST_P(Pool, names_what_does_not_fit) {
  Rng rng(1);
  const KernelMap map = oracle::random_map(rng, 5, 6, 8, 0.5);
  Guarded x(5, 3), y(6, 4), few(4, 3), fits(6, 3);
  auto& serial = serial_executor();
  AlignedBuffer scratch;
  const auto isa = GetParam();
  expect_error<ShapeError>([&] { pool_forward(isa, x.view(), map, Pooling::max, serial, y.view()); },
                           {"keeps the channels", "3", "4"});
  expect_error<ShapeError>([&] { pool_forward(isa, few.view(), map, Pooling::max, serial, fits.view()); },
                           {"from 5 rows to 6", "from 4 to 6"});
  const std::vector<std::int64_t> begin{0, 2, 5};
  expect_error<ShapeError>([&] { pool_samples(isa, x.view(), begin, Pooling::sum, serial, scratch, fits.view()); },
                           {"2 samples with 5 rows", "have 5", "have", "6"});
  Guarded two(2, 3);
  expect_error<UsageError>([&] { pool_samples_gradient(two.view(), begin, Pooling::max, nullptr, serial, x.view()); },
                           {"winner"});
}

INSTANTIATE_TEST_SUITE_P(Isa, Pool, testing::Values(cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512),
                         [](const auto& info) { return std::string(cpu::name(info.param)); });

}  // namespace
}  // namespace rarefy::test
