#include "graph/images/image.h"

namespace rarefy {

ImageExtent image_extent(const Node& node) {
  constexpr std::int64_t kMost = 1 << 15;
  const ImageExtent extent{node.integer("height"), node.integer("width")};
  for (const std::int64_t side : {extent.height, extent.width})
    RAREFY_CHECK(side >= 1 && side <= kMost, ShapeError, "node '{}' ({}): an image of {} x {}, expected 1 to {} pixels",
                 node.name, node.op, extent.height, extent.width, kMost);
  return extent;
}

std::vector<OpExample> image_examples(
    std::uint64_t seed, const std::function<ValueId(Builder&, ValueId x, const ImageExtent&, Rng&)>& make) {
  std::vector<OpExample> examples;
  for (const std::int64_t samples : {2, 1, 0}) {
    Rng rng(seed, static_cast<std::uint64_t>(samples));
    const ImageExtent extent{rng.integer(1, 9), rng.integer(1, 9)};
    Builder b;
    const ValueId x = b.points(3, "image");
    b.output("y", make(b, x, extent, rng));
    OpExample example;
    example.graph = b.build();
    example.weights = initial_weights(example.graph, seed);
    example.inputs = {
        random_point_data("image", 3, samples * extent.pixels(), std::max<std::int64_t>(1, samples), rng)};
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace rarefy
