#include "graph/example.h"
#include "graph/infer.h"

namespace rarefy::ops {

OpDef downsample() {
  OpDef op;
  op.name = "downsample";
  op.doc = "Sites of a strided convolution's output.";
  op.inputs = {"sites: space"};
  op.outputs = {"coarse: space"};
  op.attributes = kernel_attributes();
  op.geometry = true;
  op.infer = [](const InferArgs& args) -> Inferred {
    const ValueType& in = require_kind(args, 0, ValueKind::space);
    RAREFY_CHECK(in.dims > 0, ShapeError, "node '{}' (downsample): {} has no coordinates", args.node.name,
                 args.producers[0]);
    const KernelShape kernel = kernel_shape(args.node, in.dims);
    check_kernel(kernel, to_extent(in.stride));
    ValueType out = in;
    out.space = args.output_ids[0];
    for (std::size_t a = 0; a < out.stride.size(); ++a) out.stride[a] *= kernel.stride[a];
    return {{out}, {}};
  };
  op.examples = [](std::uint64_t seed) {
    return sparse_examples(seed, [](Builder& b, ValueId x, Rng& rng) {
      const std::int64_t stride = rng.integer(2, 3);
      ConvOptions options{.channels = 3, .kernel = {rng.integer(2, 3)}, .stride = {stride}};
      if (rng.chance(0.5)) {
        options.rule = Rule::padded;
        options.padding = {rng.integer(0, 1)};
      }
      return b.conv(x, options);
    });
  };
  return op;
}

}  // namespace rarefy::ops
