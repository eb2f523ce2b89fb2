#pragma once
/// Device code: which part of a batch a block works on. For .cu files.
#include <cstdint>

#include "kernels/cuda/maps/batch.h"

namespace rarefy::cuda::geometry {

/// The part that the block works on: the last that begins at or before it.
template <class Part>
__device__ const Part& part_of_block(const Batch<Part>& batch) {
  const auto block = static_cast<std::int32_t>(blockIdx.x);
  int low = 0, high = batch.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (batch.part[middle].first_block <= block)
      low = middle;
    else
      high = middle;
  }
  return batch.part[low];
}

}  // namespace rarefy::cuda::geometry
