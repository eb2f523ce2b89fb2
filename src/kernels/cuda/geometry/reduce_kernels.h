#pragma once
#include <cstdint>

#include "kernels/cuda/device.h"

namespace rarefy::cuda::geometry {

enum class Reduce : std::uint8_t { first, mean, max };

/// Rows of point features to rows of voxel features; strides in elements.
struct ReduceJob {
  const std::int32_t* count = nullptr;        ///< voxels, on the device
  const std::int32_t* point_begin = nullptr;  ///< [V + 1]
  const std::int32_t* point_order = nullptr;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  float* y = nullptr;
  std::int64_t y_stride = 0;
  std::int64_t most_rows = 0;  ///< rows that y has
  std::int64_t cols = 0;
};
void reduce(const ReduceJob& job, Reduce reduction, Stream stream);

}  // namespace rarefy::cuda::geometry
