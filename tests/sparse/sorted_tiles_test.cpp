#include "sparse/sorted_tiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <set>
#include <tuple>

#include "oracle/conv.h"
#include "rarefy/error.h"
#include "sparse/kernel_map.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Triple = std::tuple<std::int32_t, std::int32_t, std::int64_t>;  // output row, input row, offset

std::set<Triple> pairs_of_map(const KernelMap& map) {
  std::set<Triple> pairs;
  for (std::int64_t s = 0; s < map.blocks() * map.volume; ++s)
    for (std::int64_t p = map.begin[static_cast<std::size_t>(s)]; p < map.begin[static_cast<std::size_t>(s) + 1]; ++p)
      pairs.emplace(map.out_row[static_cast<std::size_t>(p)], map.in_row[static_cast<std::size_t>(p)], s % map.volume);
  return pairs;
}

/// The pairs that the tiles hold; fails when their structure is unsound.
std::set<Triple> pairs_of_tiles(const KernelMap& map) {
  const SortedTiles& tiles = map.tiles;
  std::set<Triple> pairs;
  std::set<std::int32_t> rows;
  EXPECT_EQ(tiles.begin.size(), tiles.mask.size() + 1);
  EXPECT_EQ(static_cast<std::int64_t>(tiles.out_row.size()), tiles.tiles() * SortedTiles::kRows);
  for (std::size_t t = 0; t < tiles.mask.size(); ++t) {
    EXPECT_EQ(tiles.begin[t + 1] - tiles.begin[t], std::popcount(tiles.mask[t]));
    std::int64_t entry = tiles.begin[t];
    for (std::int64_t k = 0; k < map.volume; ++k) {
      if ((tiles.mask[t] >> k & 1) == 0) continue;
      int there = 0;
      for (std::size_t r = 0; r < SortedTiles::kRows; ++r) {
        const std::int32_t in = tiles.in_row[static_cast<std::size_t>(entry) * SortedTiles::kRows + r];
        const std::int32_t out = tiles.out_row[t * SortedTiles::kRows + r];
        if (in < 0) continue;
        EXPECT_GE(out, 0) << "a missing row has a pair";
        EXPECT_TRUE(pairs.emplace(out, in, k).second) << "a pair stands twice";
        ++there;
      }
      EXPECT_GT(there, 0) << "an offset of tile " << t << " has no pair";
      ++entry;
    }
    for (std::size_t r = 0; r < SortedTiles::kRows; ++r) {
      const std::int32_t out = tiles.out_row[t * SortedTiles::kRows + r];
      if (out < 0) continue;
      EXPECT_TRUE(rows.insert(out).second) << "row " << out << " stands twice";
    }
  }
  EXPECT_EQ(static_cast<std::int64_t>(rows.size()), map.out_rows);
  return pairs;
}

TEST(SortedTiles, hold_every_pair_once_for_any_executor) {
  const auto pool = make_thread_pool(3);
  test::for_random_cases(30, [&](Rng& rng) {
    KernelMap map = rng.chance(0.3) ? oracle::random_submanifold_map(rng, 9000, 3)
                                    : oracle::random_map(rng, rng.integer(1, 500), rng.integer(0, 9000),
                                                         rng.integer(1, 30), rng.uniform());
    sort_tiles(map, serial_executor());
    EXPECT_EQ(pairs_of_tiles(map), pairs_of_map(map));
    KernelMap again = map;
    sort_tiles(again, *pool);
    EXPECT_EQ(again.tiles.out_row, map.tiles.out_row);
    EXPECT_EQ(again.tiles.mask, map.tiles.mask);
    EXPECT_EQ(again.tiles.begin, map.tiles.begin);
    EXPECT_EQ(again.tiles.in_row, map.tiles.in_row);
  });
}

TEST(SortedTiles, waste_little_where_neighbours_are_alike) {
  Rng rng(3);
  KernelMap dense = oracle::random_map(rng, 4000, 4000, 27, 1.0), sparse = oracle::random_map(rng, 4000, 4000, 27, 0.3);
  sort_tiles(dense, serial_executor());
  sort_tiles(sparse, serial_executor());
  EXPECT_EQ(dense.tiles.products(), dense.pairs());
  EXPECT_GT(sparse.tiles.products(), sparse.pairs());
  std::int64_t unsorted = 0;  // what tiles of four successive rows would multiply
  std::vector<std::uint64_t> masks(4000, 0);
  for (const auto& [out, in, k] : pairs_of_map(sparse)) masks[static_cast<std::size_t>(out)] |= std::uint64_t{1} << k;
  for (std::size_t t = 0; t < 4000; t += 4)
    unsorted += 4 * std::popcount(masks[t] | masks[t + 1] | masks[t + 2] | masks[t + 3]);
  EXPECT_LT(sparse.tiles.products(), unsorted);
}

TEST(SortedTiles, of_many_offsets_are_refused_and_a_new_map_has_none) {
  Rng rng(4);
  KernelMap map = oracle::random_map(rng, 20, 20, 53, 0.5);
  test::expect_error<ShapeError>([&] { sort_tiles(map, serial_executor()); }, {"52", "53"});
  KernelMap small = oracle::random_map(rng, 20, 20, 8, 0.5), transposed;
  sort_tiles(small, serial_executor());
  EXPECT_GT(small.memory_bytes(), small.tiles.products() * 4);
  transposed.tiles = small.tiles;
  transpose_map(small, serial_executor(), transposed);
  EXPECT_TRUE(transposed.tiles.empty());
}

}  // namespace
}  // namespace rarefy
