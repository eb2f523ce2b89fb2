#pragma once
/// Names of the orders in which voxels stay, as options have them.
#include <map>
#include <string>

#include "rarefy/thinning.h"

namespace rarefy::cli {

inline const std::map<std::string, VoxelOrder>& voxel_orders() {
  static const std::map<std::string, VoxelOrder> orders = {{"spread", VoxelOrder::spread},
                                                           {"near", VoxelOrder::near},
                                                           {"points", VoxelOrder::points},
                                                           {"crowded", VoxelOrder::crowded},
                                                           {"random", VoxelOrder::random}};
  return orders;
}

inline std::string name_of(VoxelOrder order) {
  for (const auto& [name, value] : voxel_orders())
    if (value == order) return name;
  return {};
}

inline const char* voxel_order_help() {
  return "Which voxels stay: spread (many points, or most of a large cell; default), near, points (many points), "
         "crowded, "
         "random";
}

}  // namespace rarefy::cli
