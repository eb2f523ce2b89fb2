#include "sparse/sorted_tiles.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"
#include "sparse/kernel_map.h"

namespace rarefy {
namespace {

constexpr std::int64_t kRows = SortedTiles::kRows, kScope = SortedTiles::kScopeRows;
constexpr std::int64_t kTilesOfScope = kScope / kRows, kBlocksOfScope = kScope / KernelMap::kBlockRows;
constexpr int kRowBits = 12;
static_assert(kScope == std::int64_t{1} << kRowBits);
static_assert(SortedTiles::kMostOffsets + kRowBits <= 64);

/// A scope of successive output rows.
struct Scope {
  const KernelMap& map;
  std::int64_t first_row, rows, first_block, last_block, first_tile;

  Scope(const KernelMap& m, std::int64_t number)
      : map(m),
        first_row(number * kScope),
        rows(std::min(kScope, m.out_rows - first_row)),
        first_block(number * kBlocksOfScope),
        last_block(std::min(m.blocks(), first_block + kBlocksOfScope)),
        first_tile(number * kTilesOfScope) {}

  std::int64_t tiles() const { return (rows + kRows - 1) / kRows; }

  /// f(input row, output row within the scope) for the pairs of offset k.
  template <class F>
  void for_each_pair(std::int64_t k, const F& f) const {
    for (std::int64_t b = first_block; b < last_block; ++b) {
      const std::int64_t* range = map.begin.data() + b * map.volume + k;
      for (std::int64_t p = range[0]; p < range[1]; ++p) {
        const auto at = static_cast<std::size_t>(p);
        f(map.in_row[at], map.out_row[at] - first_row);
      }
    }
  }
};

using Words = std::array<std::uint64_t, static_cast<std::size_t>(kScope)>;

/// Sorts the first `count` words by their bits from kRowBits on; stable. Returns the array that holds the result.
Words& sort_words(Words& words, Words& other, std::int64_t count, int bits) {
  constexpr int kDigit = 8;
  Words *from = &words, *to = &other;
  for (int shift = kRowBits; shift < kRowBits + bits; shift += kDigit) {
    std::array<std::uint32_t, 1 << kDigit> place{};
    const auto digit = [shift](std::uint64_t word) { return static_cast<std::size_t>(word >> shift & 0xFF); };
    for (std::int64_t i = 0; i < count; ++i) ++place[digit((*from)[static_cast<std::size_t>(i)])];
    std::uint32_t sum = 0;
    for (std::uint32_t& p : place) sum += std::exchange(p, sum);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint64_t word = (*from)[static_cast<std::size_t>(i)];
      (*to)[place[digit(word)]++] = word;
    }
    std::swap(from, to);
  }
  return *from;
}

/// Rows of the scope's tiles, and the mask of each tile.
void sort_scope(const Scope& scope, SortedTiles& tiles) {
  Words words, other;
  for (std::int64_t r = 0; r < scope.rows; ++r) words[static_cast<std::size_t>(r)] = static_cast<std::uint64_t>(r);
  for (std::int64_t k = 0; k < scope.map.volume; ++k)
    scope.for_each_pair(k, [&](std::int32_t, std::int64_t row) {
      words[static_cast<std::size_t>(row)] |= std::uint64_t{1} << (kRowBits + k);
    });
  const Words& sorted = sort_words(words, other, scope.rows, static_cast<int>(scope.map.volume));
  for (std::int64_t t = 0; t < scope.tiles(); ++t) {
    std::uint64_t mask = 0;
    for (std::int64_t r = t * kRows; r < (t + 1) * kRows; ++r) {
      std::int32_t& row = tiles.out_row[static_cast<std::size_t>(scope.first_tile * kRows + r)];
      row = -1;
      if (r >= scope.rows) continue;
      const std::uint64_t word = sorted[static_cast<std::size_t>(r)];
      mask |= word >> kRowBits;
      row = static_cast<std::int32_t>(scope.first_row + static_cast<std::int64_t>(word & (kScope - 1)));
    }
    tiles.mask[static_cast<std::size_t>(scope.first_tile + t)] = mask;
  }
}

/// Input rows of the scope's tiles.
void fill_scope(const Scope& scope, SortedTiles& tiles) {
  std::array<std::int32_t, static_cast<std::size_t>(kScope)> slot;  // place of a row among the rows of the tiles
  for (std::int64_t s = 0; s < scope.rows; ++s) {
    const std::int32_t row = tiles.out_row[static_cast<std::size_t>(scope.first_tile * kRows + s)];
    slot[static_cast<std::size_t>(row - scope.first_row)] = static_cast<std::int32_t>(s);
  }
  const auto first = static_cast<std::size_t>(scope.first_tile),
             last = static_cast<std::size_t>(first + static_cast<std::size_t>(scope.tiles()));
  std::fill(tiles.in_row.begin() + tiles.begin[first] * kRows, tiles.in_row.begin() + tiles.begin[last] * kRows, -1);
  std::array<std::int64_t, static_cast<std::size_t>(kTilesOfScope)> entry;  // of the offset at hand
  std::copy(tiles.begin.begin() + scope.first_tile, tiles.begin.begin() + static_cast<std::int64_t>(last),
            entry.begin());
  for (std::int64_t k = 0; k < scope.map.volume; ++k) {
    scope.for_each_pair(k, [&](std::int32_t in, std::int64_t row) {
      const std::int32_t s = slot[static_cast<std::size_t>(row)];
      tiles.in_row[static_cast<std::size_t>(entry[static_cast<std::size_t>(s / kRows)] * kRows + s % kRows)] = in;
    });
    for (std::int64_t t = 0; t < scope.tiles(); ++t)
      entry[static_cast<std::size_t>(t)] +=
          static_cast<std::int64_t>(tiles.mask[first + static_cast<std::size_t>(t)] >> k & 1);
  }
}

}  // namespace

void SortedTiles::clear() {
  out_row.clear();
  mask.clear();
  begin.clear();
  in_row.clear();
}

void sort_tiles(KernelMap& map, Executor& executor) {
  RAREFY_CHECK(map.volume <= SortedTiles::kMostOffsets, ShapeError,
               "rows are sorted by at most {} kernel offsets, the map has {}", SortedTiles::kMostOffsets, map.volume);
  SortedTiles& tiles = map.tiles;
  const std::int64_t scopes = (map.out_rows + kScope - 1) / kScope;
  const auto count = static_cast<std::size_t>((map.out_rows + kRows - 1) / kRows);
  tiles.out_row.resize(count * kRows);
  tiles.mask.resize(count);
  tiles.begin.resize(count + 1);
  executor.parallel_for(scopes, [&](std::int64_t s, int) { sort_scope(Scope(map, s), tiles); });
  tiles.begin[0] = 0;
  for (std::size_t t = 0; t < count; ++t) tiles.begin[t + 1] = tiles.begin[t] + std::popcount(tiles.mask[t]);
  tiles.in_row.resize(static_cast<std::size_t>(tiles.begin[count] * kRows));
  executor.parallel_for(scopes, [&](std::int64_t s, int) { fill_scope(Scope(map, s), tiles); });
}

}  // namespace rarefy
