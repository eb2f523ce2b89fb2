#pragma once
/// What segmentation networks share: from points to voxel features, from logits to labels per point.
#include "rarefy/builder.h"
#include "rarefy/model.h"

namespace rarefy::models {

struct PointInput {
  ValueId points = -1;          ///< [P, 4] x, y, z, intensity
  ValueId index = -1;           ///< points to voxels
  ValueId voxel_features = -1;  ///< [V, features of the pipeline]
};

/// Input "points", voxelization and features as the pipeline says.
/// @throws UsageError for a feature that is not x, y, z or intensity.
PointInput add_point_input(Builder& builder, const Pipeline& pipeline);

/// Outputs "labels" (uint8 per point, 255 where there is no voxel) and "logits" (per voxel).
void add_segmentation_output(Builder& builder, const PointInput& input, ValueId logits);

}  // namespace rarefy::models
