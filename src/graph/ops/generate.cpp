#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef generate() {
  OpDef op;
  op.name = "generate";
  op.doc =
      "All sites that a transposed convolution reaches: the space of a generative layer. Gwak, Choy, Savarese, ECCV "
      "2020.";
  op.inputs = {"sites: space"};
  op.outputs = {"fine: space"};
  op.attributes = kernel_attributes();
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& in = require_kind(args, 0, ValueKind::space);
    RAREFY_CHECK(in.dims > 0, ShapeError, "node '{}' (generate): {} has no coordinates", args.node.name,
                 args.producers[0]);
    const KernelShape kernel = kernel_shape(args.node, in.dims);
    ValueType out = in;
    out.space = args.output_ids[0];
    for (std::size_t a = 0; a < out.stride.size(); ++a) {
      RAREFY_CHECK(out.stride[a] % kernel.stride[a] == 0, ShapeError,
                   "node '{}' (generate): stride {} on axis {} does not divide the stride {} of {}", args.node.name,
                   kernel.stride[a], a, out.stride[a], args.producers[0]);
      out.stride[a] /= kernel.stride[a];
    }
    check_kernel(kernel, to_extent(out.stride));
    return {{out}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const ValueId coarse = b.conv(x, {.channels = 3, .kernel = {2}, .stride = {2}});
      return b.conv_generative(coarse, {.channels = 2, .kernel = {rng.integer(2, 3)}, .stride = {2}});
    });
  };
  return op;
}

}  // namespace rarefy::ops
