#pragma once
/// Voxels left out ahead of the network, as part of the model.
#include "rarefy/model.h"
#include "rarefy/thinning.h"

namespace rarefy::compress {

/// The model on a share of each scan's voxels (op `thin`): no layer sees the others, in training neither. Their points
/// get the labels of the nearest voxel that stays. Parameters keep their names. At inference the same as
/// RunOptions::thinning with this share.
/// @param share  of the voxels that stays, above 0, at most 1
/// @throws UsageError for another share; UnsupportedError when the model makes no voxels of points, thins them already,
///         or uses their index for more than features of voxels and labels of points (SPVCNN's point branch)
Model thin_voxels(const Model& model, double share, VoxelOrder order = VoxelOrder::spread);

}  // namespace rarefy::compress
