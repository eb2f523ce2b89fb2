#pragma once
/// Fewer voxels than a scan has: the least important ones are left out before anything is computed for them.
#include <cstdint>

namespace rarefy {

/// Which voxels stay first.
enum class VoxelOrder : std::uint8_t {
  spread,   ///< points times 1 + how large (1, 2, .. 5 doublings) a cell is in which no voxel has more points
  near,     ///< by horizontal distance from the origin of the points
  points,   ///< those with many points
  crowded,  ///< those with many voxels around
  random,   ///< by a number that depends on the position alone
};

/// How many voxels of a scan the network sees. Points of voxels that are left out are no part of any feature; their
/// label is that of the nearest voxel that stays among those of the smallest cell (of 2, 4, 8, ... voxels) that holds
/// one, so that every point that would have a label has one. At least one voxel of each sample stays.
struct Thinning {
  std::int64_t most = 0;  ///< voxels of a run; several samples share them in proportion to their own. 0 = any number
  double share = 1.0;     ///< of the voxels of each sample, rounded up
  VoxelOrder order = VoxelOrder::spread;
  bool active() const { return most > 0 || share < 1.0; }
};

}  // namespace rarefy
