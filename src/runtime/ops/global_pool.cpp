#include "graph/pooling.h"
#include "runtime/shared/samples.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  Pooling pooling;
  const ConvVariant* variant;
};

}  // namespace

RuntimeOp global_pool() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return State{pooling_of(args.node), &args.variant}; };
  op.run = [](const RunArgs& args) {
    const auto& state = std::any_cast<const State&>(*args.state);
    const SpaceValue& rows = args.space_of(args.node->inputs[0]);
    require_samples(*args.node, rows, args.space(args.node->inputs[1]));
    pool_samples(state.variant->needs, args.input(0), rows.sample_begin, state.pooling, *args.executor, *args.scratch,
                 args.output(0));
    *args.variant = name(*state.variant);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
