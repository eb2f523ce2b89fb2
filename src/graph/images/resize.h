#pragma once
/// The attributes of resize_grid.
#include "graph/infer.h"
#include "kernels/resize.h"

namespace rarefy {

/// @throws ShapeError for a side outside 1 to 32768
inline GridResize resize_of(const Node& node) {
  const GridResize r{node.integer("height"), node.integer("width"), node.integer("to_height"),
                     node.integer("to_width")};
  constexpr std::int64_t kMost = 1 << 15;
  for (const std::int64_t side : {r.height, r.width, r.to_height, r.to_width})
    RAREFY_CHECK(side >= 1 && side <= kMost, ShapeError,
                 "node '{}' (resize_grid): from {} x {} to {} x {}, expected 1 to {}", node.name, r.height, r.width,
                 r.to_height, r.to_width, kMost);
  return r;
}

}  // namespace rarefy
