#include "kernels/conv_int8.h"
#include "runtime/plan_impl.h"

namespace rarefy::runtime::ops {

/// To bytes where the plan keeps bytes, else rounded real numbers.
RuntimeOp quantize() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return quantization_of(args.node, args.weights); };
  op.run = [](const RunArgs& args) {
    const auto& to = std::any_cast<const Quantization&>(*args.state);
    if (args.view(args.node->outputs[0]).dtype == Dtype::u8)
      quantize_rows(args.input(0), to, *args.executor, args.output<std::uint8_t>(0));
    else
      round_rows(args.input(0), to, *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
