#include "graph/box.h"
#include "graph/example.h"

namespace rarefy::ops {

OpDef to_dense() {
  OpDef op;
  op.name = "to_dense";
  op.doc =
      "Sparse features as a dense image: cells along the axes that the image lacks become channels, channel c of cell "
      "z "
      "being c * Z + z; zeros where there is no site. The height compression of SECOND, Yan et al., Sensors 2018.";
  op.inputs = {"x: features", "sites: space of x", "image: space"};
  op.outputs = {"y: features"};
  op.attributes = box_attributes();
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const Box box = infer_box(args, 1, 2);
    require_space(args, 0, args.inputs[1].space, args.producers[1]);
    ValueType y = x;
    y.space = args.inputs[2].space;
    y.channels = x.channels * box.depth();
    RAREFY_CHECK(y.channels <= 65536, ShapeError,
                 "node '{}' (to_dense): {} channels and {} cells per pixel make {} channels, expected at most 65536",
                 args.node.name, x.channels, box.depth(), y.channels);
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t stride = rng.integer(1, 2);
      const ValueId y = b.conv(x, {.channels = rng.integer(1, 5), .kernel = {stride}, .stride = {stride}});
      return b.to_dense(y, random_box(b.type(b.space_of(x)).dims, stride, rng));
    });
  };
  return op;
}

}  // namespace rarefy::ops
