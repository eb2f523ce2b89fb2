#include "kernels/depthwise.h"
#include "runtime/shared/conv_step.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  FoldedWeights weights;
  const ConvVariant* variant = nullptr;
};

}  // namespace

RuntimeOp depthwise_conv() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return State{fold_batch_norm(args), &args.variant}; };
  op.run = [](const RunArgs& args) {
    const auto& state = std::any_cast<const State&>(*args.state);
    depthwise_forward(*state.variant, args.input(0), state.weights.values.data(), WeightOrder::forward,
                      args.map(args.node->inputs[1]), epilogue_of(args, state.weights.bias), *args.executor,
                      args.output(0));
    *args.variant = name(*state.variant);
  };
  op.fuses = true;
  return op;
}

}  // namespace rarefy::runtime::ops
