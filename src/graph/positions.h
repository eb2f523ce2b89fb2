#pragma once
/// What ops that look for positions share: a space, or the features of points, coordinates first.
#include "graph/infer.h"

namespace rarefy {

/// Attribute "voxel_size" of such an op.
inline AttributeSpec position_attribute() {
  return {
      "voxel_size", std::vector<double>{1.0},
      "points: edge of the finest voxel, one number or one per axis, in the unit of the coordinates; sites: ignored"};
}

/// Checks input 0 (positions) and input 1 (the space to search) and returns the type of input 1.
/// @throws ShapeError.
inline const ValueType& require_positions(const InferArgs& args) {
  const Node& node = args.node;
  const ValueType& from = args.inputs[0];
  const ValueType& to = require_kind(args, 1, ValueKind::space);
  RAREFY_CHECK(to.dims > 0, ShapeError, "node '{}' ({}): {} has no coordinates", node.name, node.op, args.producers[1]);
  if (from.kind == ValueKind::space) {
    RAREFY_CHECK(from.dims == to.dims, ShapeError, "node '{}' ({}): {} has {} axes, {} has {}", node.name, node.op,
                 args.producers[0], from.dims, args.producers[1], to.dims);
    return to;
  }
  const ValueType& points = require_features(args, 0);
  RAREFY_CHECK(points.channels >= to.dims, ShapeError,
               "node '{}' ({}): {} has {} columns, but {} coordinates are needed", node.name, node.op,
               args.producers[0], points.channels, to.dims);
  const auto& size = node.numbers("voxel_size");
  RAREFY_CHECK(size.size() == 1 || size.size() == static_cast<std::size_t>(to.dims), ShapeError,
               "node '{}' ({}): voxel_size has {} entries, expected 1 or {}", node.name, node.op, size.size(), to.dims);
  for (const double s : size)
    RAREFY_CHECK(s > 0.0 && s < 1e9, ShapeError, "node '{}' ({}): a voxel size of {} is not positive", node.name,
                 node.op, s);
  return to;
}

}  // namespace rarefy
