#pragma once
/// Leaving voxels out ahead of the network; see rarefy/thinning.h.
#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "rarefy/thinning.h"
#include "sparse/site_sets.h"
#include "sparse/voxelize.h"

namespace rarefy {

/// Working memory; keeps its capacity.
struct ThinScratch {
  std::vector<std::uint64_t> code;   ///< [V] by row: position with the bits of the axes in turns
  std::vector<std::uint64_t> words;  ///< sorted
  std::vector<std::uint64_t> other;
  std::vector<std::uint64_t> rank;    ///< [V] by row: what matters more has a larger number
  std::vector<std::int32_t> order;    ///< [V] rows in the order of their codes
  std::vector<std::int32_t> new_row;  ///< [V] by row: its row among those that stay, of itself or of its neighbour
  std::vector<std::uint8_t> level;    ///< [V] by row
  std::vector<std::int64_t> target;   ///< [S] voxels that stay of each sample
};

/// Leaves voxels out of `voxels`, in place. Afterwards coords, point_order and point_begin are those of the voxels that
/// stay, in their order, while voxel_of_point says for every point, those of voxels that were left out included, whose
/// label is its own.
/// @param points  what was voxelized: [P, >= dims], coordinates first
/// @return        voxels that were left out
/// @throws UsageError  a share outside 0 to 1, or a negative number
/// Cost: O(V), a radix sort. Deterministic; no allocation once the vectors have grown.
std::int64_t thin(Matrix<const float> points, const Thinning& wanted, Voxels& voxels, ThinScratch& scratch);

/// Working memory of thin_rows; keeps its capacity.
struct ThinRowsScratch {
  Voxels voxels;
  ThinScratch thin;
};

/// The same choice as a selection of rows: `voxels` stays as it is.
/// @param kept   gets, for each voxel that stays, its row in `voxels`; inverted
/// @param place  gets, for each row of `voxels`, the new row of itself, or of the voxel whose label it gets; inverted
/// @param out    coordinates of the voxels that stay
void thin_rows(Matrix<const float> points, const Thinning& wanted, const Voxels& voxels, ThinRowsScratch& scratch,
               RowIndex& kept, RowIndex& place, Coords& out);

}  // namespace rarefy
