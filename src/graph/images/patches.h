#pragma once
/// Images as rows of pixels, cut into patches.
#include "graph/tokens.h"

namespace rarefy {

struct PatchGrid {
  std::int64_t height, width, patch;  ///< pixels
  std::int64_t lines() const { return (height + patch - 1) / patch; }
  std::int64_t columns() const { return (width + patch - 1) / patch; }
  std::int64_t pixels() const { return height * width; }
  std::int64_t patches() const { return lines() * columns(); }
};

std::vector<AttributeSpec> patch_attributes();
/// The attributes of a node. @throws ShapeError unless patches fill the image, or may be incomplete
PatchGrid patch_grid(const Node& node);
/// Images of two and of no samples.
std::vector<OpExample> patch_examples(std::uint64_t seed);

}  // namespace rarefy
