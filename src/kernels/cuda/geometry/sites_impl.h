#pragma once
/// What the functions that make Sites share.
#include <bit>
#include <cstdint>

#include "kernels/cuda/sites.h"

namespace rarefy::cuda::geometry {

/// Describes the sites that are about to be made, and makes room.
inline void start(int dims, const Extent& stride, std::int64_t batches, std::int64_t capacity, Sites& out) {
  out.dims = dims;
  out.stride = stride;
  out.batches = batches;
  out.capacity = capacity;
  out.rows = -1;
  out.keys.reserve_for<std::uint64_t>(capacity > 0 ? capacity : 1);
  out.count.reserve_for<std::int32_t>(2);
}

/// A bound of the rows that the host knows.
inline std::int64_t most_rows(const Sites& sites) { return sites.rows >= 0 ? sites.rows : sites.capacity; }

/// Bits that number the samples.
inline int batch_bits(std::int64_t batches) {
  return batches <= 1 ? 0 : std::bit_width(static_cast<std::uint64_t>(batches - 1));
}
/// Low bits of a key that can differ. All ones in these is no site: valid fields of positions are never all ones.
inline int key_bits(const KeyLayout& layout, std::int64_t batches) {
  return layout.dims * layout.axis_bits + batch_bits(batches);
}

}  // namespace rarefy::cuda::geometry
