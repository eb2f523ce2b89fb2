#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef kernel_map() {
  OpDef op;
  op.name = "kernel_map";
  op.doc =
      "Pairs (input site, output site, kernel offset) of a convolution. Graham et al., CVPR 2018; Choy et al., CVPR "
      "2019.";
  op.inputs = {"from: space", "to: space"};
  op.outputs = {"map: map"};
  op.attributes = kernel_attributes();
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& from = require_kind(args, 0, ValueKind::space);
    const ValueType& to = require_kind(args, 1, ValueKind::space);
    RAREFY_CHECK(from.dims > 0 && to.dims == from.dims, ShapeError, "node '{}' (kernel_map): {} has {} axes, {} has {}",
                 args.node.name, args.producers[0], from.dims, args.producers[1], to.dims);
    for (std::size_t a = 0; a < from.stride.size(); ++a)
      RAREFY_CHECK(
          to.stride[a] >= from.stride[a], ShapeError,
          "node '{}' (kernel_map): along axis {} the sites of {} are {} apart, those of {} only {}: make the map "
          "the other way round and transpose it (Builder::conv_transposed)",
          args.node.name, a, args.producers[0], from.stride[a], args.producers[1], to.stride[a]);
    const KernelShape kernel = kernel_shape(args.node, from.dims);
    check_kernel(kernel, to_extent(from.stride));
    if (from.space == to.space && kernel.rule == CoordinateRule::block && kernel.offsets.empty())
      for (int a = 0; a < from.dims; ++a)
        RAREFY_CHECK(kernel.size[static_cast<std::size_t>(a)] % 2 == 1, ShapeError,
                     "node '{}' (kernel_map): a submanifold convolution needs odd kernel sizes, axis {} has {}",
                     args.node.name, a, kernel.size[static_cast<std::size_t>(a)]);
    ValueType map;
    map.kind = ValueKind::map;
    map.space = from.space;
    map.target = to.space;
    map.channels = kernel.volume();
    return {{map}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    auto examples = sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      ConvOptions options{.channels = 3, .kernel = {rng.chance(0.5) ? 3 : 5}, .dilation = {rng.integer(1, 2)}};
      if (rng.chance(0.5)) options.offsets = cross_offsets(b.type(b.space_of(x)).dims, rng.integer(1, 2));
      if (rng.chance(0.3)) options.stride = {2};
      return b.conv(x, options);
    });
    for (OpExample& e : two_input_examples(seed, [](Builder&b, ValueId x, ValueId other, Rng&rng) {
           return b.conv_to(x, other, {.channels = rng.integer(1, 9), .kernel = {rng.integer(2, 3)}, .bias = true});
         }))
      examples.push_back(std::move(e));
    return examples;
  };
  return op;
}

}  // namespace rarefy::ops
