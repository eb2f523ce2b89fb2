/// Attention against softmax(q k / sqrt(d) + log size) v written out in double, for every variant that this CPU has.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/conv.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

/// Samples of any size, matrices with gaps between rows.
struct Case {
  std::vector<std::int64_t> begin{0};
  std::int64_t heads, d, e, gap;
  std::vector<float> q, k, v, sizes;

  explicit Case(Rng& rng, std::int64_t longest = 200)
      : heads(rng.integer(1, 4)), d(rng.integer(1, 70)), e(rng.integer(1, 70)), gap(rng.integer(0, 3)) {
    for (std::int64_t s = rng.integer(0, 4); s > 0; --s)
      begin.push_back(begin.back() + (rng.chance(0.2) ? 0 : rng.integer(1, longest)));
    fill(q, heads * d + gap, rng);
    fill(k, heads * d + gap, rng);
    fill(v, heads * e + gap, rng);
    if (rng.chance(0.5)) {
      fill(sizes, 1, rng);
      for (float& size : sizes) size = std::floor(std::abs(size) * 3.0f) + 1.0f;
    }
  }
  void fill(std::vector<float>& to, std::int64_t stride, Rng& rng) const {
    to.resize(static_cast<std::size_t>(begin.back() * stride));
    for (float& value : to) value = static_cast<float>(rng.normal());
  }
  Matrix<const float> view(const std::vector<float>& values, std::int64_t cols) const {
    return {values.data(), begin.back(), cols, cols + gap};
  }
  AttentionInput input() const {
    AttentionInput in{view(q, heads * d), view(k, heads * d), view(v, heads * e), {}, begin, heads};
    if (!sizes.empty()) in.sizes = {sizes.data(), begin.back(), 1};
    return in;
  }
  /// What row i of a sample attends to.
  std::vector<double> attended(std::int64_t first, std::int64_t last, std::int64_t i, std::int64_t head) const {
    const AttentionInput in = input();
    std::vector<double> p;
    double most = -std::numeric_limits<double>::infinity(), sum = 0.0;
    for (std::int64_t j = first; j < last; ++j) {
      double score = 0.0;
      for (std::int64_t c = head * d; c < (head + 1) * d; ++c) score += static_cast<double>(in.q(i, c)) * in.k(j, c);
      p.push_back(score / std::sqrt(static_cast<double>(d)) +
                  (sizes.empty() ? 0.0 : std::log(sizes[static_cast<std::size_t>(j)])));
      most = std::max(most, p.back());
    }
    for (double& x : p) sum += x = std::exp(x - most);
    for (double& x : p) x /= sum;
    return p;
  }
};

std::vector<float> run(const Case& c, cpu::Isa isa, Executor& executor = serial_executor()) {
  std::vector<float> y(static_cast<std::size_t>(c.begin.back() * c.heads * c.e));
  AlignedBuffer scratch;
  attention(isa, c.input(), executor, scratch, {y.data(), c.begin.back(), c.heads * c.e});
  return y;
}

std::vector<float> received(const Case& c, cpu::Isa isa, Queries queries, Executor& executor = serial_executor()) {
  std::vector<float> y(static_cast<std::size_t>(c.begin.back()));
  AlignedBuffer scratch;
  attention_received(isa, c.input(), queries, executor, scratch, {y.data(), c.begin.back(), 1});
  return y;
}

class Attention : public testing::TestWithParam<const ConvVariant*> {
 protected:
  void SetUp() override {
    if (!runs_here(*GetParam())) GTEST_SKIP() << "this CPU lacks " << cpu::name(GetParam()->needs);
  }
  cpu::Isa isa() const { return GetParam()->needs; }
};

TEST_P(Attention, equals_its_definition) {
  test::for_random_cases(30, [&](Rng& rng) {
    const Case c(rng);
    const std::vector<float> y = run(c, isa());
    std::vector<double> expected(y.size(), 0.0);
    for (std::size_t s = 1; s < c.begin.size(); ++s)
      for (std::int64_t i = c.begin[s - 1]; i < c.begin[s]; ++i)
        for (std::int64_t h = 0; h < c.heads; ++h) {
          const auto p = c.attended(c.begin[s - 1], c.begin[s], i, h);
          for (std::int64_t col = h * c.e; col < (h + 1) * c.e; ++col)
            for (std::int64_t j = c.begin[s - 1]; j < c.begin[s]; ++j)
              expected[static_cast<std::size_t>(i * c.heads * c.e + col)] +=
                  p[static_cast<std::size_t>(j - c.begin[s - 1])] * c.input().v(j, col);
        }
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 2e-5) << i;
  });
}

TEST_P(Attention, received_equals_its_definition) {
  test::for_random_cases(30, [&](Rng& rng) {
    const Case c(rng);
    for (const Queries queries : {Queries::first, Queries::all}) {
      const std::vector<float> y = received(c, isa(), queries);
      std::vector<double> expected(y.size(), 0.0);
      for (std::size_t s = 1; s < c.begin.size(); ++s)
        for (std::int64_t i = c.begin[s - 1];
             i < (queries == Queries::all ? c.begin[s] : std::min(c.begin[s - 1] + 1, c.begin[s])); ++i)
          for (std::int64_t h = 0; h < c.heads; ++h) {
            const auto p = c.attended(c.begin[s - 1], c.begin[s], i, h);
            for (std::size_t j = 0; j < p.size(); ++j)
              expected[static_cast<std::size_t>(c.begin[s - 1]) + j] += p[j] / static_cast<double>(c.heads);
          }
      for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-5 * (1.0 + expected[i])) << i;
    }
  });
}

TEST_P(Attention, has_the_same_bits_for_any_executor) {
  const auto pool = make_thread_pool(4);
  test::for_random_cases(10, [&](Rng& rng) {
    const Case c(rng, 500);
    EXPECT_EQ(run(c, isa()), run(c, isa(), *pool));
    EXPECT_EQ(received(c, isa(), Queries::all), received(c, isa(), Queries::all, *pool));
  });
}

/// What a sample gives is its own: alone or behind others.
TEST_P(Attention, of_a_sample_does_not_depend_on_the_batch) {
  test::for_random_cases(10, [&](Rng& rng) {
    const Case c(rng);
    const std::vector<float> all = run(c, isa());
    for (std::size_t s = 1; s < c.begin.size(); ++s) {
      const std::int64_t first = c.begin[s - 1], rows = c.begin[s] - first;
      AttentionInput in = c.input();
      for (Matrix<const float>* m : {&in.q, &in.k, &in.v}) *m = {m->row(first), rows, m->cols, m->row_stride};
      if (in.sizes.data != nullptr) in.sizes = {in.sizes.row(first), rows, 1};
      const std::vector<std::int64_t> alone{0, rows};
      in.sample_begin = alone;
      const std::int64_t cols = c.heads * c.e;
      std::vector<float> y(static_cast<std::size_t>(rows * cols));
      AlignedBuffer scratch;
      attention(isa(), in, serial_executor(), scratch, {y.data(), rows, cols});
      EXPECT_TRUE(std::equal(y.begin(), y.end(), all.begin() + first * cols));
    }
  });
}

/// Scores far beyond the range of exp, equal ones, rows of no size, NaN.
TEST_P(Attention, of_extreme_numbers) {
  const std::vector<std::int64_t> begin{0, 3};
  const std::vector<float> k{1.0f, -1.0f, 1.0f}, v{1.0f, 2.0f, 5.0f};
  const auto attend = [&](std::vector<float> q, std::vector<float> sizes) {
    std::vector<float> y(3);
    AlignedBuffer scratch;
    AttentionInput in{{q.data(), 3, 1}, {k.data(), 3, 1}, {v.data(), 3, 1}, {}, begin, 1};
    if (!sizes.empty()) in.sizes = {sizes.data(), 3, 1};
    attention(isa(), in, serial_executor(), scratch, {y.data(), 3, 1});
    return y;
  };
  const auto y = attend({1e6f, -1e6f, 0.0f}, {});
  EXPECT_FLOAT_EQ(y[0], 3.0f);
  EXPECT_FLOAT_EQ(y[1], 2.0f);
  EXPECT_FLOAT_EQ(y[2], 8.0f / 3.0f);
  EXPECT_FLOAT_EQ(attend({0, 0, 0}, {1.0f, 0.0f, 3.0f})[0], 4.0f);
  EXPECT_FLOAT_EQ(attend({0, 0, 0}, {0.0f, 0.0f, 0.0f})[0], 0.0f);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto with_nan = attend({nan, 0.0f, 0.0f}, {});
  EXPECT_TRUE(std::isnan(with_nan[0]));
  EXPECT_FLOAT_EQ(with_nan[1], 8.0f / 3.0f);
}

std::vector<const ConvVariant*> variants() {
  std::vector<const ConvVariant*> all;
  for (const ConvVariant& variant : conv_variants()) all.push_back(&variant);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Variants, Attention, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(name(*info.param)); });

TEST(AttentionShapes, that_do_not_fit_are_named) {
  Rng rng(1);
  const Case c(rng);
  AlignedBuffer scratch;
  AttentionInput in = c.input();
  in.heads = 0;
  test::expect_error<ShapeError>([&] { attention(cpu::Isa::portable, in, serial_executor(), scratch, {}); },
                                 {"0 heads do not share"});
  const std::vector<float> rows(8);
  const std::vector<std::int64_t> begin{0, 3};
  in = {{rows.data(), 4, 2}, {rows.data(), 4, 2}, {rows.data(), 4, 2}, {}, begin, 1};
  test::expect_error<ShapeError>([&] { attention(cpu::Isa::portable, in, serial_executor(), scratch, {}); },
                                 {"samples have 3 rows", "queries 4"});
}

}  // namespace
}  // namespace rarefy
