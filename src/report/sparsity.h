#pragma once
/// How much of a dense grid a run visited, and what computing the whole grid would have cost.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "rarefy/graph.h"

namespace rarefy::report {

/// One resolution of the network: a sparse space and the convolutions that stay in it.
struct Level {
  std::int64_t stride = 1;  ///< in finest voxels
  std::int64_t voxels = 0;
  double cells = 0;         ///< of the box around the scan at this stride
  std::int64_t pairs = 0;   ///< of the map from the space to itself; 0 when there is none
  std::int64_t volume = 0;  ///< offsets of that kernel (27 for 3x3x3)
  double neighbours() const { return voxels > 0 ? static_cast<double>(pairs) / static_cast<double>(voxels) : 0; }
};

struct Sparsity {
  std::vector<Level> levels;  ///< by stride
  double dense_macs = 0;      ///< all convolutions on all cells of the box, plus the layers without a map as they are
  double dense_tensor_bytes = 0;    ///< one float32 tensor of the widest layer at the finest level
  std::int64_t dense_channels = 0;  ///< of that tensor
};

/// @param sizes  actual rows and pairs of one run, by value
/// @param box    extent of the occupied box in finest voxels per axis
Sparsity analyse(const Graph& graph, const Sizes& sizes, const std::array<std::int64_t, 3>& box);

/// Extent of the occupied voxels: floor(max / size) - floor(min / size) + 1 per axis, over finite points.
std::array<std::int64_t, 3> occupied_box(std::span<const float> xyz, std::span<const double> voxel_size);

}  // namespace rarefy::report
