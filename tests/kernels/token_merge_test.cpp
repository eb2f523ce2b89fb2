/// Bipartite matching by hand, and against a search that allows for ties to rounding.
#include "kernels/token_merge.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

struct Matched {
  SampleBegin begin;
  RowIndex index;
};

Matched match(const std::vector<float>& metric, std::int64_t cols, const std::vector<std::int64_t>& begin,
              const MatchOptions& options, Executor& executor = serial_executor()) {
  Matched result;
  AlignedBuffer scratch;
  match_tokens(cpu::allowed_isa(), {metric.data(), static_cast<std::int64_t>(metric.size()) / cols, cols}, begin,
               options, executor, scratch, result.begin, result.index);
  return result;
}

/// Rows 0..6: A = 0, 2, 4, 6, B = 1, 3, 5. Row 4 points as row 1 does, row 2 nearly as row 5, row 0 as row 3.
TEST(MatchTokens, by_hand) {
  const std::vector<float> metric{0, 1, 1, 0, 1, 0.9f, 0, 2, 3, 0, 1, 1, -1, 0};
  const auto without = match(metric, 2, {0, 7}, {.remove = 2});
  EXPECT_EQ(without.begin, (SampleBegin{0, 5}));
  // 0 goes into 3 and 4 into 1, both of cosine 1. New order: 2, 6 (of A), then 1, 3, 5.
  EXPECT_EQ(without.index.voxel_of_point, (std::vector<std::int32_t>{3, 2, 0, 3, 2, 4, 1}));
  const auto with_class = match(metric, 2, {0, 7}, {.remove = 2, .leading = 1});
  EXPECT_EQ(with_class.index.voxel_of_point, (std::vector<std::int32_t>{0, 2, 4, 3, 2, 4, 1}));
  const auto none = match(metric, 2, {0, 7}, {.remove = 0});
  EXPECT_EQ(none.index.voxel_of_point, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(MatchTokens, the_mean_weighs_by_size) {
  const std::vector<float> metric{1, 1, 0, 0}, x{2, 6, 7, 8}, sizes{1, 3, 1, 1};
  const auto matched = match(metric, 1, {0, 2, 4}, {.remove = 1});
  EXPECT_EQ(matched.begin, (SampleBegin{0, 1, 2}));
  std::vector<float> y(2);
  merge_rows(matched.index, {x.data(), 4, 1}, {sizes.data(), 4, 1}, serial_executor(), {y.data(), 2, 1});
  EXPECT_FLOAT_EQ(y[0], 5.0f);
  EXPECT_FLOAT_EQ(y[1], 7.5f);
}

/// The rows that go are among the most similar, and each goes into one of its most similar, to rounding; everything
/// else keeps its order.
TEST(MatchTokens, takes_the_most_similar) {
  const auto pool = make_thread_pool(4);
  test::for_random_cases(30, [&](Rng& rng) {
    const std::int64_t heads = rng.integer(1, 3), cols = rng.integer(1, 40);
    std::vector<std::int64_t> begin{0};
    for (std::int64_t s = rng.integer(0, 4); s > 0; --s) begin.push_back(begin.back() + rng.integer(0, 300));
    std::vector<float> metric(static_cast<std::size_t>(begin.back() * heads * cols));
    for (float& v : metric) v = static_cast<float>(rng.normal());
    const MatchOptions options{.remove = rng.integer(0, 100), .heads = heads, .leading = rng.integer(0, 1)};
    const auto found = match(metric, heads * cols, begin, options);
    EXPECT_EQ(found.index.voxel_of_point, match(metric, heads * cols, begin, options, *pool).index.voxel_of_point);
    const auto cosine = [&](std::int64_t a, std::int64_t b) {
      double ab = 0, aa = 0, bb = 0;
      for (std::int64_t c = 0; c < cols; ++c) {
        double x = 0, y = 0;
        for (std::int64_t h = 0; h < heads; ++h) {
          x += metric[static_cast<std::size_t>((a * heads + h) * cols + c)];
          y += metric[static_cast<std::size_t>((b * heads + h) * cols + c)];
        }
        ab += x * y, aa += x * x, bb += y * y;
      }
      return ab / std::sqrt(aa * bb);
    };
    for (std::size_t s = 1; s < begin.size(); ++s) {
      const std::int64_t n = begin[s] - begin[s - 1], first = begin[s - 1];
      const std::int64_t remove = std::max<std::int64_t>(0, std::min(options.remove, (n - options.leading) / 2));
      ASSERT_EQ(found.begin[s] - found.begin[s - 1], n - remove);
      double least_gone = 2.0, most_kept = -2.0;
      std::int64_t gone = 0;
      for (std::int64_t i = 2 * options.leading; remove > 0 && i < n; i += 2) {
        double best = -2.0;
        for (std::int64_t j = 1; j < n; j += 2) best = std::max(best, cosine(first + i, first + j));
        const std::int32_t to = found.index.voxel_of_point[static_cast<std::size_t>(first + i)];
        std::int64_t into = -1;
        for (std::int64_t j = 1; j < n; j += 2)
          if (found.index.voxel_of_point[static_cast<std::size_t>(first + j)] == to) into = first + j;
        if (into < 0) {
          most_kept = std::max(most_kept, best);
          continue;
        }
        ++gone;
        ASSERT_NEAR(cosine(first + i, into), best, 1e-5);
        least_gone = std::min(least_gone, best);
      }
      ASSERT_EQ(gone, remove);
      ASSERT_GE(least_gone, most_kept - 1e-5);
    }
  });
}

TEST(MatchTokens, name_what_is_wrong) {
  const std::vector<float> metric(6);
  test::expect_error<ShapeError>([&] { match(metric, 3, {0, 2}, {.heads = 2}); }, {"2 heads", "3 columns"});
  test::expect_error<ShapeError>([&] { match(metric, 3, {0, 3}, {}); }, {"3 rows", "has 2"});
  test::expect_error<UsageError>([&] { match(metric, 3, {0, 2}, {.leading = 2}); }, {"2 leading"});
  const auto matched = match(metric, 3, {0, 2}, {.remove = 1});
  std::vector<float> y(9);
  test::expect_error<ShapeError>(
      [&] {
        merge_rows(matched.index, {metric.data(), 2, 3}, {metric.data(), 2, 1}, serial_executor(), {y.data(), 3, 3});
      },
      {"2 rows become 1", "3 x 3"});
}

}  // namespace
}  // namespace rarefy
