// Orders by place alone: what each promises. Its values are compared with the definition by the conformance test of the
// op.
#include "sparse/site_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

Coords random_sites(Rng& rng, int dims, std::int32_t stride, std::int64_t samples) {
  std::set<std::vector<std::int32_t>> sites;
  for (int i = 0; i < 300; ++i) {
    std::vector<std::int32_t> row{static_cast<std::int32_t>(rng.integer(0, samples - 1))};
    for (int a = 0; a < dims; ++a) row.push_back(stride * static_cast<std::int32_t>(rng.integer(-9, 8)));
    sites.insert(row);
  }
  std::vector<std::int32_t> rows;
  for (const auto& row : sites) rows.insert(rows.end(), row.begin(), row.end());
  Coords coords;
  make_coords(rows, dims, {stride, stride, stride, stride}, samples, coords);
  return coords;
}

std::vector<float> order_of(const Coords& coords, SiteOrder order, std::uint64_t seed = 0) {
  std::vector<float> values(coords.keys.size());
  SiteOrderScratch scratch;
  site_order(coords, order, seed, scratch, values);
  return values;
}

std::vector<std::int64_t> cell_of(const Coords& coords, std::int64_t row, std::int64_t edge) {
  std::int32_t batch = 0, position[kMaxDims] = {};
  unpack_key(key_layout(coords.dims), coords.keys[static_cast<std::size_t>(row)], &batch, position);
  std::vector<std::int64_t> cell{batch};
  for (int a = 0; a < coords.dims; ++a)
    cell.push_back((position[a] / coords.stride[static_cast<std::size_t>(a)] + 1024) / edge);
  return cell;
}

/// As many sites as there are cells of an edge, those that come first: one in each cell.
TEST(SiteOrder, spread_puts_one_of_every_cell_first) {
  test::for_random_cases(20, [](Rng& rng) {
    const int dims = static_cast<int>(rng.integer(1, 4));
    const Coords coords = random_sites(rng, dims, static_cast<std::int32_t>(rng.integer(1, 3)), 1);
    const auto values = order_of(coords, SiteOrder::spread, rng.bits());
    std::vector<std::int64_t> rows(coords.keys.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::sort(rows.begin(), rows.end(), [&](std::int64_t a, std::int64_t b) {
      return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
    });
    for (const std::int64_t edge : {2, 4, 8, 16}) {
      std::set<std::vector<std::int64_t>> all, first;
      for (const std::int64_t row : rows) all.insert(cell_of(coords, row, edge));
      for (std::size_t i = 0; i < all.size(); ++i) first.insert(cell_of(coords, rows[i], edge));
      EXPECT_EQ(first.size(), all.size()) << "cells of " << edge;
    }
  });
}

TEST(SiteOrder, of_a_sample_does_not_depend_on_the_others) {
  Rng rng(5);
  const Coords both = random_sites(rng, 3, 2, 2);
  for (const SiteOrder order : {SiteOrder::spread, SiteOrder::random}) {
    const auto values = order_of(both, order);
    for (std::size_t sample = 0; sample < 2; ++sample) {
      Coords alone = both;
      const auto first = both.batch_begin[sample], end = both.batch_begin[sample + 1];
      alone.keys.assign(both.keys.begin() + first, both.keys.begin() + end);
      alone.batch_begin =
          sample == 0 ? std::vector<std::int64_t>{0, end} : std::vector<std::int64_t>{0, 0, end - first};
      const std::vector<float> expected(values.begin() + first, values.begin() + end);
      EXPECT_EQ(order_of(alone, order), expected);
    }
  }
}

TEST(SiteOrder, random_is_even_and_a_seed_gives_another) {
  Rng rng(2);
  const Coords coords = random_sites(rng, 3, 1, 1);
  const auto values = order_of(coords, SiteOrder::random, 1), others = order_of(coords, SiteOrder::random, 2);
  EXPECT_NE(values, others);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  EXPECT_NEAR(mean, 0.5, 0.06);
  EXPECT_GE(*std::min_element(values.begin(), values.end()), 0.0f);
  EXPECT_LT(*std::max_element(values.begin(), values.end()), 1.0f);
  EXPECT_TRUE(order_of(Coords{.dims = 2, .batch_begin = {0}}, SiteOrder::spread).empty());
  SiteOrderScratch scratch;
  std::vector<float> few(1);
  test::expect_error<UsageError>([&] { site_order(coords, SiteOrder::random, 1, scratch, few); }, {"room for 1"});
}

}  // namespace
}  // namespace rarefy
