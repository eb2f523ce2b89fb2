#include "kernels/grouped.h"
#include "runtime/shared/conv_step.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  GroupedWeights weights;
  std::vector<float> bias;  ///< empty: none
};

}  // namespace

RuntimeOp grouped_conv() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any {
    auto state = std::make_shared<State>();
    FoldedWeights folded = fold_batch_norm(args);
    const std::int64_t groups = args.node.integer("groups");
    pack_grouped(args.variant, folded.values.data(), args.graph.type(args.node.inputs[1]).channels,
                 args.graph.type(args.node.inputs[0]).channels, args.node.integer("channels"), groups,
                 WeightOrder::forward, state->weights);
    state->bias = std::move(folded.bias);
    return state;
  };
  op.run = [](const RunArgs& args) {
    const auto& state = *std::any_cast<const std::shared_ptr<State>&>(*args.state);
    grouped_forward(args.input(0), state.weights, &args.map(args.node->inputs[1]), epilogue_of(args, state.bias),
                    *args.executor, args.output(0));
    *args.variant = name(*state.weights[0].variant);
  };
  op.fuses = true;
  return op;
}

}  // namespace rarefy::runtime::ops
