#include "base/check.h"
#include "models/common/layers.h"
#include "models/common/parts.h"
#include "rarefy/models.h"

namespace rarefy::models {
namespace {

/// The backbone of MinkUNet with a branch of points beside it that three times takes up what the voxels know.
struct Spvcnn {
  Builder& b;
  const std::int64_t (&c)[9];
  Layers net{b};
  ValueId points = -1;               ///< sites whose positions are those of the points
  std::vector<ValueId> levels = {};  ///< encoder, finest first

  /// Voxels at the points, plus what the points knew before, through a linear layer, batch norm and ReLU.
  ValueId fuse(ValueId voxels, ValueId point_features, const std::string& name) {
    const ValueId known = b.linear(point_features, b.type(voxels).channels, true, name + ".linear");
    return b.add_values(b.voxel_to_point(voxels, points), b.relu(b.batch_norm(known, 1e-5, 0.1, name + ".bn")));
  }

  /// The point features as voxels of the space of `like`, 30 % of them dropped in training, into stage `s`.
  ValueId from_points(ValueId point_features, ValueId like, int s) {
    return up(b.dropout(b.point_to_voxel(point_features, b.space_of(like)), 0.3, fmt::format("up{}.dropout", s)), s);
  }

  ValueId up(ValueId x, int s) {
    const std::string name = fmt::format("up{}", s);
    x = net.up_concat(x, levels[static_cast<std::size_t>(4 - s)], c[4 + s], name);
    return net.residual(net.residual(x, c[4 + s], name + ".res1"), c[4 + s], name + ".res2");
  }

  /// Features of the points, from those of the finest voxels.
  ValueId run(ValueId x) {
    points = b.space_of(x);
    x = net.conv_bn_relu(x, {.channels = c[0], .kernel = {3}, .name = "stem.conv1"});
    x = net.conv_bn_relu(x, {.channels = c[0], .kernel = {3}, .name = "stem.conv2"});
    levels.push_back(x);
    const ValueId z0 = b.voxel_to_point(x, points);
    x = b.point_to_voxel(z0, points);
    for (int s = 1; s <= 4; ++s) {
      const std::string name = fmt::format("down{}", s);
      x = net.down(x, c[s - 1], name);
      x = net.residual(net.residual(x, c[s], name + ".res1"), c[s], name + ".res2");
      levels.push_back(x);
    }
    const ValueId z1 = fuse(x, z0, "point1");
    const ValueId y2 = up(from_points(z1, x, 1), 2);
    const ValueId z2 = fuse(y2, z1, "point2");
    const ValueId y4 = up(from_points(z2, y2, 3), 4);
    return fuse(y4, z2, "point3");
  }
};

}  // namespace

/// SPVCNN as in the spvnas code. There, as here, the points are those that remain after voxelization, one per finest
/// voxel, at its integer coordinates: between points and finest voxels nothing is interpolated or averaged (both are
/// the identity, and no node is made for them); from and to the coarser levels, trilinear devoxelization and means.
ModelDef spvcnn() {
  ModelDef def;
  def.name = "spvcnn";
  def.doc =
      "SPVCNN, MinkUNet with a branch of points, for semantic segmentation of LiDAR scans. Tang et al., ECCV 2020.";
  def.build = [](const ModelOptions& options) {
    const auto [c] = unet_channels(options.width, "spvcnn");
    Builder b;
    const PointInput input = add_point_input(b, options.pipeline);
    Spvcnn net{b, c};
    add_segmentation_output(b, input, b.linear(net.run(input.voxel_features), options.classes, true, "classifier"));
    return b.build();
  };
  return def;
}

}  // namespace rarefy::models
