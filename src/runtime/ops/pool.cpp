#include "graph/pooling.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  Pooling pooling;
  const ConvVariant* variant;
};

}  // namespace

RuntimeOp pool() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return State{pooling_of(args.node), &args.variant}; };
  op.run = [](const RunArgs& args) {
    const auto& state = std::any_cast<const State&>(*args.state);
    pool_forward(state.variant->needs, args.input(0), args.map(args.node->inputs[1]), state.pooling, *args.executor,
                 args.output(0));
    *args.variant = name(*state.variant);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
