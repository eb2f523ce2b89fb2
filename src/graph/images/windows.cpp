#include "graph/images/windows.h"

#include "graph/images/image.h"

namespace rarefy {

std::vector<AttributeSpec> window_attributes() {
  return {{"height", std::int64_t{14}, "lines of tokens of an image"},
          {"width", std::int64_t{14}, "tokens of a line"},
          {"window", std::int64_t{7}, "edge of a window in tokens"},
          {"shift", std::int64_t{0}, "0: windows begin at the corner; else the first ones have this edge"}};
}

WindowGrid window_grid(const Node& node) {
  const ImageExtent extent = image_extent(node);
  const WindowGrid grid{extent.height, extent.width, node.integer("window"), node.integer("shift")};
  RAREFY_CHECK(grid.window >= 1 && grid.window <= kMostWindow, ShapeError,
               "node '{}' ({}): window is {}, expected 1 to {}", node.name, node.op, grid.window, kMostWindow);
  RAREFY_CHECK(grid.shift >= 0 && grid.shift < grid.window, ShapeError,
               "node '{}' ({}): shift is {}, expected at least 0 and less than the window of {}", node.name, node.op,
               grid.shift, grid.window);
  return grid;
}

std::vector<OpExample> window_examples(
    std::uint64_t seed, const std::function<ValueId(Builder&, ValueId x, const WindowOptions&, Rng&)>& make) {
  return image_examples(seed, [&](Builder& b, ValueId x, const ImageExtent& extent, Rng& rng) {
    const std::int64_t window = rng.integer(1, 4);
    return make(b, x, {extent.height, extent.width, window, rng.integer(0, window - 1)}, rng);
  });
}

}  // namespace rarefy
