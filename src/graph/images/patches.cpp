#include "graph/images/patches.h"

#include "graph/example.h"

namespace rarefy {

std::vector<AttributeSpec> patch_attributes() {
  return {{"height", std::int64_t{224}, "pixels"},
          {"width", std::int64_t{224}, "pixels"},
          {"patch", std::int64_t{16}, "edge of a patch in pixels"},
          {"pad", std::int64_t{0}, "0: it divides both; 1: what patches at the lower and right edge lack is zero"}};
}

PatchGrid patch_grid(const Node& node) {
  const PatchGrid grid{node.integer("height"), node.integer("width"), node.integer("patch")};
  constexpr std::int64_t kMost = 1 << 15;
  RAREFY_CHECK(grid.patch >= 1 && grid.height >= 1 && grid.width >= 1 && grid.height <= kMost && grid.width <= kMost &&
                   (node.integer("pad") != 0 || (grid.height % grid.patch == 0 && grid.width % grid.patch == 0)),
               ShapeError,
               "node '{}' ({}): an image of {} x {} is not filled by patches of {}: scale or crop it to multiples",
               node.name, node.op, grid.height, grid.width, grid.patch);
  return grid;
}

std::vector<OpExample> patch_examples(std::uint64_t seed) {
  std::vector<OpExample> examples;
  for (const std::int64_t samples : {2, 1, 0}) {
    Rng rng(seed, static_cast<std::uint64_t>(samples));
    const std::int64_t patch = rng.integer(1, 3), height = patch * rng.integer(1, 3), width = patch * rng.integer(1, 3);
    const std::int64_t less = patch > 1 && rng.chance(0.5) ? 1 : 0;
    Builder b;
    const ValueId x = b.points(4);
    b.output("y",
             b.linear(b.patches(x, {.height = height - less, .width = width - less, .patch = patch, .pad = less > 0}),
                      3, true, "embed"));
    OpExample example;
    example.graph = b.build();
    example.weights = initial_weights(example.graph, seed);
    example.inputs = {random_point_data("points", 4, samples * (height - less) * (width - less),
                                        std::max<std::int64_t>(1, samples), rng)};
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace rarefy
