#include "kernels/window_attention.h"

#include "runtime/windows.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  const ConvVariant* variant;
  Tensor table;
};

}  // namespace

RuntimeOp window_attention() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any {
    return State{&args.variant, args.weights.resolve(args.node.parameters[0])};
  };
  op.run = [](const RunArgs& args) {
    const auto& state = std::any_cast<const State&>(*args.state);
    WindowAttentionInput in;
    in.rows = attention_input(args, 4);
    in.rows.v = args.input(2);
    in.token_of_row = args.index(args.node->inputs[3]).voxel_of_point;
    in.grid = window_grid(*args.node);
    const auto& shape = state.table.shape();
    in.table = {state.table.as<float>().data(), shape[0], shape[1], shape[1]};
    rarefy::window_attention(state.variant->needs, in, *args.executor, *args.scratch, args.output(0));
    *args.variant = cpu::name(state.variant->needs);
  };
  op.pairs = [](const RunArgs& args) { return attention_pairs(args.space_of(args.node->inputs[0]).sample_begin); };
  return op;
}

}  // namespace rarefy::runtime::ops
