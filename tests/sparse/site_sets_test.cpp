/// Union, intersection and selection against sets, and the indices that move features.
#include "sparse/site_sets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "oracle/rows.h"
#include "rarefy/error.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "support/random_sites.h"

namespace rarefy {
namespace {

std::vector<std::int64_t> wide(const std::vector<std::int32_t>& values) { return {values.begin(), values.end()}; }

/// Point p is listed for the row that it points to, and nowhere else.
void expect_inverse(const RowIndex& index, std::int64_t targets) {
  ASSERT_EQ(static_cast<std::int64_t>(index.point_begin.size()), targets + 1);
  ASSERT_EQ(index.point_begin.front(), 0);
  ASSERT_EQ(index.point_begin.back(), static_cast<std::int32_t>(index.point_order.size()));
  for (std::int64_t t = 0; t < targets; ++t) {
    std::vector<std::int32_t> expected;
    for (std::size_t p = 0; p < index.voxel_of_point.size(); ++p)
      if (index.voxel_of_point[p] == t) expected.push_back(static_cast<std::int32_t>(p));
    const auto begin = index.point_order.begin();
    EXPECT_EQ(expected, std::vector<std::int32_t>(begin + index.point_begin[static_cast<std::size_t>(t)],
                                                  begin + index.point_begin[static_cast<std::size_t>(t + 1)]));
  }
}

TEST(SiteSets, union_and_intersection_equal_the_oracle) {
  Coords out;
  RowIndex row_of_a, row_of_b;  // kept between cases: what was there before must not show
  test::for_random_cases(150, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.most_rows = 200;
    options.anywhere = rng.chance(0.3);
    for (auto& s : options.stride) s = static_cast<std::int32_t>(rng.integer(1, 3));
    options.batches = rng.integer(1, 3);
    const Coords a = test::random_coords(rng, options);
    options.batches = rng.integer(1, 3);
    const Coords b = rng.chance(0.1) ? a : test::random_coords(rng, options);
    for (const bool both : {false, true}) {
      (both ? intersect : unite)(a, b, out, row_of_a, row_of_b);
      const oracle::Joined expected = oracle::join(oracle::sites(a), oracle::sites(b), both);
      EXPECT_EQ(oracle::sites(out), expected.sites);
      EXPECT_EQ(wide(row_of_a.voxel_of_point), expected.in_a);
      EXPECT_EQ(wide(row_of_b.voxel_of_point), expected.in_b);
      expect_inverse(row_of_a, a.rows());
      expect_inverse(row_of_b, b.rows());
      EXPECT_EQ(out.batches(), std::max(a.batches(), b.batches()));
      EXPECT_EQ(out.batch_begin.back(), out.rows());
      EXPECT_EQ(out.stride, a.stride);
    }
  });
}

TEST(SiteSets, names_what_does_not_fit) {
  const std::int32_t flat[] = {0, 4, 4}, solid[] = {0, 4, 4, 4};
  Coords a, b, c, out;
  make_coords(flat, 2, {1, 1, 1, 1}, -1, a);
  make_coords(solid, 3, {1, 1, 1, 1}, -1, b);
  make_coords(solid, 3, {1, 2, 1, 1}, -1, c);
  RowIndex p, q;
  test::expect_error<ShapeError>([&] { unite(a, b, out, p, q); }, {"union", "2 dimensions", "3"});
  test::expect_error<ShapeError>([&] { intersect(b, c, out, p, q); }, {"intersection", "along y", "1 and 2"});
}

TEST(SiteSets, selection_keeps_the_rows_above_the_threshold) {
  Coords out;
  RowIndex kept, place;
  test::for_random_cases(100, [&](Rng& rng) {
    test::SiteOptions options;
    options.dims = static_cast<int>(rng.integer(1, 4));
    options.batches = rng.integer(1, 4);
    const Coords in = test::random_coords(rng, options);
    std::vector<float> scores;
    for (std::int64_t r = 0; r < in.rows(); ++r)
      scores.push_back(rng.chance(0.1) ? std::numeric_limits<float>::quiet_NaN()
                                       : static_cast<float>(rng.integer(-2, 2)));
    select_rows(Matrix<const float>(scores.data(), in.rows(), 1), {}, 0.0, 0, kept, place);
    select_coords(in, kept, out);
    std::vector<oracle::Site> expected;
    std::vector<std::int64_t> rows, places, samples(static_cast<std::size_t>(in.batches()) + 1, 0);
    const auto sites = oracle::sites(in);
    for (std::size_t r = 0; r < sites.size(); ++r) {
      const bool stays = scores[r] > 0.0f;
      places.push_back(stays ? static_cast<std::int64_t>(rows.size()) : -1);
      if (!stays) continue;
      rows.push_back(static_cast<std::int64_t>(r));
      expected.push_back(sites[r]);
      for (auto s = static_cast<std::size_t>(sites[r][0]) + 1; s < samples.size(); ++s) ++samples[s];
    }
    EXPECT_EQ(oracle::sites(out), expected);
    EXPECT_EQ(wide(kept.voxel_of_point), rows);
    EXPECT_EQ(wide(place.voxel_of_point), places);
    expect_inverse(kept, in.rows());
    expect_inverse(place, out.rows());
    EXPECT_EQ(out.batch_begin, samples);
    std::vector<std::int64_t> begin;
    select_samples(in.batch_begin, kept, begin);
    EXPECT_EQ(begin, samples);
  });
}

TEST(SiteSets, a_mask_of_bytes_selects_too) {
  const std::vector<std::uint8_t> mask{0, 1, 255, 0, 1};
  RowIndex kept, place;
  select_rows(Matrix<const std::uint8_t>(mask.data(), 5, 1), {}, 0.0, 0, kept, place);
  EXPECT_EQ(kept.voxel_of_point, (std::vector<std::int32_t>{1, 2, 4}));
  test::expect_error<ShapeError>(
      [&] { select_rows(Matrix<const std::uint8_t>(mask.data(), 2, 2), {}, 0.0, 0, kept, place); },
      {"one score", "2 columns"});
}

}  // namespace
}  // namespace rarefy
