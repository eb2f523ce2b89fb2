#include "graph/images/image.h"

namespace rarefy::ops {

OpDef image_sites() {
  OpDef op;
  op.name = "image_sites";
  op.doc =
      "The pixels of images as the sites of a grid, axes line and column: what convolutions need to know of an image "
      "whose pixels are rows, line by line. The sites have the order of the pixels.";
  op.inputs = {"pixels: space"};
  op.outputs = {"sites: space", "pixel_of_site: index"};
  op.attributes = {{"height", std::int64_t{224}, "pixels"}, {"width", std::int64_t{224}, "pixels"}};
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& pixels = require_kind(args, 0, ValueKind::space);
    (void)image_extent(args.node);
    ValueType sites;
    sites.kind = ValueKind::space;
    sites.space = args.output_ids[0];
    sites.dims = 2;
    sites.stride = {1, 1};
    return {{sites, index_type(sites.space, pixels.space)}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return image_examples(seed, [](Builder& b, ValueId x, const ImageExtent& extent, Rng& rng) {
      return b.conv(b.image_sites(x, extent.height, extent.width), {.channels = rng.integer(1, 5), .kernel = {3}});
    });
  };
  return op;
}

}  // namespace rarefy::ops
