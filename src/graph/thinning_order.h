#pragma once
/// The names of the orders in which voxels may be left out.
#include <string>

#include "graph/infer.h"
#include "rarefy/thinning.h"

namespace rarefy {

/// @throws ShapeError for an unknown name
inline VoxelOrder voxel_order_named(const std::string& name, const std::string& node) {
  for (const auto& [known, order] : {std::pair("spread", VoxelOrder::spread), std::pair("near", VoxelOrder::near),
                                     std::pair("points", VoxelOrder::points), std::pair("crowded", VoxelOrder::crowded),
                                     std::pair("random", VoxelOrder::random)})
    if (name == known) return order;
  fail<ShapeError>("node '{}' (thin): order is '{}', known are spread, near, points, crowded and random", node, name);
}

}  // namespace rarefy
