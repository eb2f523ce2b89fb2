#include "sparse/row_sets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Rows = std::vector<std::int32_t>;

struct Top {
  SampleBegin begin;
  RowIndex kept, place;
};

Top top(const std::vector<float>& scores, const std::vector<std::int64_t>& begin, const TopRows& options) {
  Top result;
  top_rows({scores.data(), static_cast<std::int64_t>(scores.size()), 1}, begin, options, result.begin, result.kept,
           result.place);
  return result;
}

TEST(TopRows, by_hand) {
  const std::vector<float> scores{0.1f, 5, 3, 4, 3, -1, 7};
  const std::vector<std::int64_t> begin{0, 5, 5, 7};
  const auto half = top(scores, begin, {.share = 0.5, .leading = 1});  // 2 of rows 1 to 4, 1 of row 6
  EXPECT_EQ(half.kept.voxel_of_point, (Rows{0, 1, 3, 5, 6}));
  EXPECT_EQ(half.begin, (SampleBegin{0, 3, 3, 5}));
  EXPECT_EQ(half.place.voxel_of_point, (Rows{0, 1, -1, 2, -1, 3, 4}));
  EXPECT_EQ(top(scores, begin, {.share = 0.5, .leading = 1, .round_up = false}).kept.voxel_of_point,
            (Rows{0, 1, 3, 5}));
  EXPECT_EQ(top(scores, begin, {.count = 3}).kept.voxel_of_point, (Rows{1, 2, 3, 5, 6})) << "the earlier of equal ones";
  EXPECT_EQ(top(scores, begin, {.share = 0.0}).kept.voxel_of_point, (Rows{1, 6})) << "one always stays";
  const auto fused = top(scores, begin, {.share = 0.5, .leading = 1, .fuse = true});
  EXPECT_EQ(fused.kept.voxel_of_point, (Rows{0, 1, 3, -1, 5, 6}));
  EXPECT_EQ(fused.place.voxel_of_point, (Rows{0, 1, 3, 2, 3, 4, 5}));
  EXPECT_EQ(fused.place.point_order, (Rows{0, 1, 3, 2, 4, 5, 6}));
}

TEST(TopRows, count_as_published) {
  std::vector<float> scores(197);
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = static_cast<float>((i * 37) % 197);
  for (const auto& [share, up] : {std::pair{0.7, 138}, {0.5, 98}, {0.9, 177}})  // ceil(share * 196), EViT
    EXPECT_EQ(top(scores, {0, 197}, {.share = share, .leading = 1}).kept.voxel_of_point.size(),
              static_cast<std::size_t>(1 + up));
}

TEST(TopRows, nan_goes_first_and_zeros_are_equal) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(top({nan, -0.0f, 0.0f, -1e30f}, {0, 4}, {.count = 1}).kept.voxel_of_point, (Rows{1}));
  EXPECT_EQ(top({nan, -1e30f, nan}, {0, 3}, {.count = 2}).kept.voxel_of_point, (Rows{0, 1}));
}

TEST(TopRows, share_and_bound_both_hold_and_one_stays) {
  const std::vector<float> scores{0.1f, 5, 3, 4, 3, -1, 7};
  const std::vector<std::int64_t> begin{0, 5, 5, 7};
  EXPECT_EQ(top(scores, begin, {.above = 3.0}).kept.voxel_of_point, (Rows{1, 3, 6}));
  EXPECT_EQ(top(scores, begin, {.share = 0.4, .above = 3.0}).kept.voxel_of_point, (Rows{1, 3, 6}));
  EXPECT_EQ(top(scores, begin, {.share = 0.2, .above = 3.0}).kept.voxel_of_point, (Rows{1, 6}));
  EXPECT_EQ(top(scores, begin, {.above = 6.0}).kept.voxel_of_point, (Rows{1, 6})) << "the best stays";
  EXPECT_EQ(top(scores, begin, {.leading = 1, .above = 6.0}).kept.voxel_of_point, (Rows{0, 5, 6}));
  EXPECT_EQ(top(scores, begin, {.leading = 1, .above = 9.0}).kept.voxel_of_point, (Rows{0, 5}))
      << "a leading one is one";
  EXPECT_EQ(top(scores, begin, {.leading = 1, .fuse = true, .above = 4.5}).begin, (SampleBegin{0, 3, 3, 5}));
}

TEST(TopRows, shares_mean_what_they_say) {
  for (const std::int64_t rows : {10, 20, 30})
    for (int tenths = 1; tenths <= 10; ++tenths)
      for (const bool up : {false, true})
        EXPECT_EQ(top(std::vector<float>(static_cast<std::size_t>(rows), 1.0f), {0, rows},
                      {.share = 1.0 - (10 - tenths) / 10.0, .round_up = up})
                      .begin[1],
                  rows * tenths / 10);
}

TEST(TopRows, name_what_is_wrong) {
  test::expect_error<UsageError>([] { top({1.0f}, {0, 1}, {.share = 1.5}); }, {"share 1.5", "[0, 1]"});
  test::expect_error<UsageError>([] { top({1.0f}, {0, 1}, {.count = -1}); }, {"count -1"});
}

TEST(RowSets, longer_samples_and_first_rows) {
  const std::vector<std::int64_t> begin{0, 2, 2, 3};
  SampleBegin longer;
  RowIndex old, first;
  prepend_rows(begin, longer, old);
  EXPECT_EQ(longer, (SampleBegin{0, 3, 4, 6}));
  EXPECT_EQ(old.voxel_of_point, (Rows{-1, 0, 1, -1, -1, 2}));
  first_rows(begin, first);
  EXPECT_EQ(first.voxel_of_point, (Rows{0, -1, 2}));
  EXPECT_EQ(first.point_begin, (Rows{0, 1, 1, 2}));
}

TEST(RowSets, inverse_of_any_index) {
  test::for_random_cases(20, [](Rng& rng) {
    RowIndex index;
    const std::int64_t targets = rng.integer(1, 9);
    for (std::int64_t i = rng.integer(0, 40); i > 0; --i)
      index.voxel_of_point.push_back(static_cast<std::int32_t>(rng.integer(-1, targets - 1)));
    invert_any_index(targets, index);
    ASSERT_EQ(index.voxels(), targets);
    for (std::int64_t t = 0; t < targets; ++t) {
      Rows expected;
      for (std::size_t r = 0; r < index.voxel_of_point.size(); ++r)
        if (index.voxel_of_point[r] == t) expected.push_back(static_cast<std::int32_t>(r));
      const auto at = static_cast<std::size_t>(t);
      EXPECT_EQ(Rows(index.point_order.begin() + index.point_begin[at],
                     index.point_order.begin() + index.point_begin[at + 1]),
                expected);
    }
  });
}

}  // namespace
}  // namespace rarefy
