#pragma once
/// Output rows in small tiles of rows with alike neighbours: what output-stationary convolution runs on.
#include <cstdint>
#include <vector>

#include "rarefy/executor.h"

namespace rarefy {

struct KernelMap;

/// The pairs of a kernel map, tile by tile. Within scopes of successive rows, rows are sorted by their mask, the set of
/// offsets under which they have a pair, so that the rows of a tile share most offsets; where one of them lacks a pair
/// that another has, -1 stands for a row of zeros. (Sorted bit masks: TorchSparse++, MICRO 2023; SpConv v2.)
struct SortedTiles {
  static constexpr std::int64_t kRows = 4;          ///< of a tile; more would share fewer offsets
  static constexpr std::int64_t kScopeRows = 4096;  ///< their features stay in L2
  static constexpr std::int64_t kMostOffsets = 52;  ///< mask and row number share a word while they are sorted
  std::vector<std::int32_t> out_row;                ///< [4 * tiles]; -1 where the last tile of a scope has fewer rows
  std::vector<std::uint64_t> mask;                  ///< [tiles] bit k: a row of the tile has a pair under offset k
  std::vector<std::int64_t> begin;   ///< [tiles + 1] first entry of the tile; one entry per bit of the mask
  std::vector<std::int32_t> in_row;  ///< [4 * entries] input rows; -1: no pair

  bool empty() const { return mask.empty(); }
  std::int64_t tiles() const { return static_cast<std::int64_t>(mask.size()); }
  /// Products of rows that the tiles make, those with rows of zeros included: at least the map's pairs.
  std::int64_t products() const { return static_cast<std::int64_t>(in_row.size()); }
  void clear();
};

/// Fills map.tiles from its pairs. Identical for any executor; allocates nothing once the vectors have grown.
/// @throws ShapeError for more than kMostOffsets offsets.
/// Cost: O(pairs + rows); some 20 nanoseconds per row of a street scan.
void sort_tiles(KernelMap& map, Executor& executor);

}  // namespace rarefy
