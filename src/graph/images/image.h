#pragma once
/// Images whose pixels are the rows of samples, line by line.
#include "graph/example.h"
#include "graph/tokens.h"

namespace rarefy {

struct ImageExtent {
  std::int64_t height, width;
  std::int64_t pixels() const { return height * width; }
};

/// Attributes "height" and "width" of a node. @throws ShapeError unless both are 1 to 32768
ImageExtent image_extent(const Node& node);

/// Graphs over images of three channels: two of them, one, none; `make` returns what becomes output "y".
std::vector<OpExample> image_examples(
    std::uint64_t seed, const std::function<ValueId(Builder&, ValueId x, const ImageExtent&, Rng&)>& make);

}  // namespace rarefy
