#include "graph/box.h"

#include "graph/example.h"

namespace rarefy::ops {

OpDef box() {
  OpDef op;
  op.name = "box";
  op.doc = "All sites of a box for every sample of a space: a dense image over its first axes.";
  op.inputs = {"like: space"};
  op.outputs = {"image: space"};
  op.attributes = box_attributes();
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& like = require_kind(args, 0, ValueKind::space);
    const std::size_t axes = args.node.integers("min").size();
    RAREFY_CHECK(axes >= 1 && axes <= static_cast<std::size_t>(like.dims), ShapeError,
                 "node '{}' (box): min has {} entries, {} has {} axes: expected 1 to {}", args.node.name, axes,
                 args.producers[0], like.dims, like.dims);
    ValueType image = like;
    image.space = args.output_ids[0];
    image.dims = static_cast<int>(axes);
    image.stride.resize(axes);
    (void)box_of(args.node, image.stride, image.dims);
    return {{image}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const int dims = b.type(b.space_of(x)).dims;
      DenseOptions box = random_box(dims, 1, rng);
      return b.conv(b.to_dense(x, box), {.channels = 3, .kernel = {3}});
    });
  };
  return op;
}

}  // namespace rarefy::ops
