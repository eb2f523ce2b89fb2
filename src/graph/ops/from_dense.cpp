#include "graph/box.h"
#include "graph/example.h"

namespace rarefy::ops {

OpDef from_dense() {
  OpDef op;
  op.name = "from_dense";
  op.doc =
      "Features of a dense image at the sites of a space: the inverse of to_dense; zeros at sites outside the box.";
  op.inputs = {"x: features of the image", "image: space", "sites: space"};
  op.outputs = {"y: features"};
  op.attributes = box_attributes();
  op.channels = {{ChannelRule::Flow::fixed, 0, "", 0}};
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& x = require_features(args, 0);
    const Box box = infer_box(args, 2, 1);
    require_space(args, 0, args.inputs[1].space, args.producers[1]);
    RAREFY_CHECK(x.channels % box.depth() == 0, ShapeError,
                 "node '{}' (from_dense): {} has {} channels, which the {} cells of a pixel do not divide",
                 args.node.name, args.producers[0], x.channels, box.depth());
    ValueType y = x;
    y.space = args.inputs[2].space;
    y.channels = x.channels / box.depth();
    return {{y}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId sites = b.space_of(x);
      const DenseOptions box = random_box(b.type(sites).dims, 1, rng);
      const ValueId image = b.to_dense(b.linear(x, rng.integer(1, 5)), box);
      return b.from_dense(rng.chance(0.5) ? b.add("tanh", {image})[0] : image, sites, box);
    });
  };
  return op;
}

}  // namespace rarefy::ops
