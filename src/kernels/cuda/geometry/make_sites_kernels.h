#pragma once
/// The steps of make_sites on the device.
#include <cstdint>

#include "kernels/cuda/device.h"
#include "sparse/coords.h"

namespace rarefy::cuda::geometry {

struct RowCheck {
  std::int32_t wrong = 0;    ///< not 0: a row is out of range, off the stride, or there twice
  std::int32_t batches = 0;  ///< one more than the largest batch index
};

/// keys[r]: the key of row r; index[r] = r. Adds to `check`, which lies on the device.
/// @param batches  valid batch indices are below this
void pack_rows(const std::int32_t* rows, std::int64_t count, const KeyLayout& layout, const Extent& stride,
               std::int64_t batches, Stream stream, std::uint64_t* keys, std::int32_t* index, RowCheck* check);
void find_duplicates(const std::uint64_t* sorted, std::int64_t count, Stream stream, RowCheck* check);

}  // namespace rarefy::cuda::geometry
