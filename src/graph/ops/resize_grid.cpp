#include "graph/example.h"
#include "graph/images/image.h"
#include "graph/images/resize.h"

namespace rarefy::ops {

OpDef resize_grid() {
  OpDef op;
  op.name = "resize_grid";
  op.doc =
      "Features of a grid of tokens (or pixels) on another grid over the same image: bilinear interpolation between "
      "the centres of cells, the edge's values beyond the outermost (PyTorch's interpolate with align_corners=False).";
  op.inputs = {"x: features", "to: space"};
  op.outputs = {"y: features"};
  op.attributes = {{"height", std::int64_t{14}, "lines of x"},
                   {"width", std::int64_t{14}, "columns of x"},
                   {"to_height", std::int64_t{28}, "lines of y"},
                   {"to_width", std::int64_t{28}, "columns of y"}};
  op.channels = {{ChannelRule::Flow::shares, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    ValueType y = require_features(args, 0);
    y.space = require_kind(args, 1, ValueKind::space).space;
    (void)resize_of(args.node);
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return image_examples(seed, [](Builder& b, ValueId x, const ImageExtent& e, Rng& rng) {
      const ValueId patches = b.patches(x, {.height = e.height, .width = e.width, .patch = 1, .pad = true});
      const std::int64_t patch = rng.integer(2, 3);
      const ValueId coarse = b.patches(x, {.height = e.height, .width = e.width, .patch = patch, .pad = true});
      const GridOptions fine{e.height, e.width}, rough{(e.height + patch - 1) / patch, (e.width + patch - 1) / patch};
      const ValueId y = b.linear(coarse, rng.integer(1, 9));
      if (rng.chance(0.7)) return b.resize_grid(y, b.space_of(patches), rough, fine);
      return b.resize_grid(b.linear(patches, 3), b.space_of(coarse), fine, rough);
    });
  };
  return op;
}

}  // namespace rarefy::ops
