#pragma once
/// From sorted keys with duplicates to a set of sites.
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"

namespace rarefy::cuda::geometry {

/// Sorted keys; entries of all ones are no sites.
struct SortedKeys {
  const std::uint64_t* keys = nullptr;
  std::uint64_t mask = ~std::uint64_t{0};  ///< bits that are kept; what remains is sorted too
  const std::int32_t* count = nullptr;     ///< on the device: how many there are; null = `size`
  std::int64_t size = 0;                   ///< length of the array
};

/// How many counters count_heads needs.
std::int64_t tiles_of(std::int64_t size);
/// Counts, per tile, the entries that differ from the one before.
void count_heads(const SortedKeys& from, Stream stream, std::int32_t* tile_counts);
/// Writes those entries to keys[0 .. *count), all ones to the rest of keys[0, from.size), and *count.
void write_unique(const SortedKeys& from, const std::int32_t* tile_counts, Stream stream, std::uint64_t* keys,
                  std::int32_t* count);

/// Writes `rows` and 0 to the two counters of Sites.
void store_count(std::int32_t* count, std::int32_t rows, Stream stream);
inline constexpr std::size_t kMostCounts = 64;
/// Writes the two counters of each of at most kMostCounts sites to page-locked host memory, [counts.size(), 2].
void gather_counts(std::span<const std::int32_t* const> counts, Stream stream, std::int32_t* host);

}  // namespace rarefy::cuda::geometry
