#pragma once
/// Sets of sites of a bounded grid as one bit per cell, in the order of keys: marking them sorts and drops duplicates.
#include <cstdint>

#include "kernels/cuda/device.h"
#include "sparse/coords.h"

namespace rarefy::cuda::geometry {

/// Cells [0, cells) of each axis and sample, the site of a cell being cell * stride.
struct BitGrid {
  /// Of 16 MiB: clearing and reading that much takes less time than sorting a few sites.
  static constexpr std::int64_t kMostCells = std::int64_t{1} << 27;
  static constexpr std::int64_t kWordBits = 32;
  std::uint32_t* words = nullptr;  ///< null: there is no grid
  std::int32_t cells[kMaxDims] = {1, 1, 1, 1};
  std::int32_t stride[kMaxDims] = {1, 1, 1, 1};
  std::int64_t size = 0;  ///< cells of all samples, at most kMostCells

  std::int64_t word_count() const { return (size + kWordBits - 1) / kWordBits; }
};

/// How many counters count_cells needs.
std::int64_t tiles_of(const BitGrid& grid);
/// Counts, per tile, the bits that are set.
void count_cells(const BitGrid& grid, Stream stream, std::int32_t* tile_counts);
/// Writes the keys of those cells to keys[0 .. *count), all ones to keys[*count .. capacity), and *count.
void write_cells(const BitGrid& grid, const KeyLayout& layout, const std::int32_t* tile_counts, std::int64_t capacity,
                 Stream stream, std::uint64_t* keys, std::int32_t* count);

}  // namespace rarefy::cuda::geometry
