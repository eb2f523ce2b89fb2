#include "models/common/parts.h"

#include "base/check.h"

namespace rarefy::models {

PointInput add_point_input(Builder& b, const Pipeline& pipeline) {
  PointInput input;
  input.points = b.points(4);
  VoxelOptions voxels;
  voxels.voxel_size = pipeline.voxel_size;
  voxels.rounding = pipeline.rounding;
  voxels.crop_min = pipeline.crop_min;
  voxels.crop_max = pipeline.crop_max;
  input.index = b.voxelize(input.points, voxels).index;
  std::vector<std::int64_t> columns;
  std::vector<double> offset, scale;
  for (const FeatureSpec& feature : pipeline.features) {
    static const std::vector<std::string> kColumns{"x", "y", "z", "intensity"};
    std::size_t c = 0;
    while (c < kColumns.size() && kColumns[c] != feature.name) ++c;
    RAREFY_CHECK(c < kColumns.size(), UsageError, "pipeline: feature '{}' is not one of x, y, z, intensity",
                 feature.name);
    columns.push_back(static_cast<std::int64_t>(c));
    offset.push_back(feature.offset);
    scale.push_back(feature.scale);
  }
  RAREFY_CHECK(!columns.empty(), UsageError,
               "pipeline: there are no features; semantic_kitti_pipeline() gives x, y, z, intensity");
  const ValueId reduced = b.reduce(input.points, input.index, pipeline.reduction);
  input.voxel_features = b.select_columns(reduced, columns, offset, scale, "features");
  return input;
}

void add_segmentation_output(Builder& b, const PointInput& input, ValueId logits) {
  b.output("labels", b.gather(b.argmax(logits), input.index, 255.0));
  b.output("logits", logits);
}

}  // namespace rarefy::models
