#pragma once
/// Random point clouds for voxelization.
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "sparse/voxelize.h"

namespace rarefy::test {

struct PointCase {
  VoxelizeOptions options;
  std::vector<std::int64_t> sample_begin;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;
  std::vector<float> values;
  Matrix<const float> points() const { return {values.data(), rows, cols, stride}; }
};

/// Points that share voxels, lie on voxel borders, outside, or are NaN or infinite; several samples, some of them
/// empty.
PointCase random_point_case(Rng& rng);

/// x, y, z, intensity of points along a few noisy surfaces: neighbours occur as they do in a scan.
std::vector<float> surface_points(std::int64_t count, Rng rng);

}  // namespace rarefy::test
