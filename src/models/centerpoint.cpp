#include <array>
#include <cmath>

#include "base/check.h"
#include "models/common/layers.h"
#include "models/common/parts.h"
#include "rarefy/models.h"

namespace rarefy::models {
namespace {

constexpr double kEpsilon = 1e-3;  // of every batch norm
constexpr double kMomentum = 0.01;

/// The layers of OpenPCDet's VoxelResBackBone8x. Axes are x, y, z here and z, y, x there.
struct Encoder {
  Builder& b;

  ValueId norm(ValueId x, const std::string& name) { return b.batch_norm(x, kEpsilon, kMomentum, name + ".bn"); }

  ValueId layer(ValueId x, const ConvOptions& options) { return b.relu(norm(b.conv(x, options), options.name)); }

  /// Two submanifold convolutions around an identity; they have a bias, as published.
  ValueId block(ValueId x, const std::string& name) {
    const std::int64_t channels = b.type(x).channels;
    const auto conv = [&](ValueId from, const std::string& part) {
      return norm(b.conv(from, {.channels = channels, .kernel = {3}, .bias = true, .name = name + part}), name + part);
    };
    return b.relu(b.add_values(conv(b.relu(conv(x, ".conv1")), ".conv2"), x));
  }

  ValueId blocks(ValueId x, const std::string& name) { return block(block(x, name + ".0"), name + ".1"); }
};

/// Cells along an axis of the dense grid after a convolution.
std::int64_t after(std::int64_t cells, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  return (cells + 2 * padding - kernel) / stride + 1;
}

std::int64_t cells_along(const Pipeline& p, std::size_t axis) {
  return static_cast<std::int64_t>(std::llround((p.crop_max[axis] - p.crop_min[axis]) / p.voxel_size[axis]));
}

}  // namespace

/// The sparse encoder of CenterPoint in its published sizes (nuScenes, 7.5 cm): Yin et al., CVPR 2021; layers as in
/// OpenPCDet, Yan et al., Sensors 2018. Everything lies on the dense grid that the pipeline's crop bounds, so that
/// sites are those of spconv. Voxels are counted from the crop's lower corner.
ModelDef centerpoint() {
  ModelDef def;
  def.name = "centerpoint";
  def.doc =
      "The sparse encoder of CenterPoint, from points to the map seen from above (no head). Yin et al., CVPR 2021.";
  def.labels_points = false;
  def.pipeline = nuscenes_detection_pipeline;
  def.build = [](const ModelOptions& options) {
    const Pipeline& p = options.pipeline;
    RAREFY_CHECK(options.width > 0.0 && options.width <= 16.0, UsageError,
                 "centerpoint: width is {}, expected more than 0, at most 16", options.width);
    RAREFY_CHECK(p.voxel_size.size() == 3 && p.crop_min.size() == 3 && p.crop_max.size() == 3, UsageError,
                 "centerpoint: the pipeline needs three axes and a crop, which bounds the grid; "
                 "nuscenes_detection_pipeline() has them");
    const auto channels = [&](double c) {
      return std::max<std::int64_t>(1, static_cast<std::int64_t>(options.width * c));
    };
    Builder b;
    Encoder net{b};
    const PointInput input = add_point_input(b, p);
    ValueId x = net.layer(input.voxel_features, {.channels = channels(16), .kernel = {3}, .name = "conv_input"});
    x = net.blocks(x, "conv1");
    std::array<std::int64_t, 3> cells{cells_along(p, 0), cells_along(p, 1), cells_along(p, 2) + 1};
    const auto down = [&](ValueId from, double c, std::vector<std::int64_t> padding, const std::string& name) {
      for (std::size_t a = 0; a < 3; ++a) cells[a] = after(cells[a], 3, 2, padding[a]);
      return net.layer(from, {.channels = channels(c),
                              .kernel = {3},
                              .stride = {2},
                              .padding = std::move(padding),
                              .rule = Rule::padded,
                              .cells = {cells.begin(), cells.end()},
                              .name = name});
    };
    x = net.blocks(down(x, 32, {1, 1, 1}, "conv2.down"), "conv2");
    x = net.blocks(down(x, 64, {1, 1, 1}, "conv3.down"), "conv3");
    x = net.blocks(down(x, 128, {1, 1, 0}, "conv4.down"), "conv4");
    cells[2] = after(cells[2], 3, 2, 0);
    x = net.layer(x, {.channels = channels(128),
                      .kernel = {1, 1, 3},
                      .stride = {1, 1, 2},
                      .rule = Rule::padded,
                      .cells = {cells.begin(), cells.end()},
                      .name = "conv_out"});
    b.output("encoded", x);
    const auto& stride = b.type(b.space_of(x)).stride;
    b.output("bev", b.to_dense(x, {.min = {0, 0, 0},
                                   .max = {cells[0] * stride[0], cells[1] * stride[1], cells[2] * stride[2]},
                                   .axes = 2}));
    return b.build();
  };
  return def;
}

}  // namespace rarefy::models
