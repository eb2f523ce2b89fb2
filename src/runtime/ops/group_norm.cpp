#include "kernels/row_norm.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  Tensor gamma, beta;
};

}  // namespace

RuntimeOp group_norm() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any {
    const auto& p = args.node.parameters;
    return State{args.weights.resolve(p[0]), args.weights.resolve(p[1])};
  };
  op.run = [](const RunArgs& args) {
    const auto& s = std::any_cast<const State&>(*args.state);
    const ValueId space = args.graph->type(args.node->inputs[0]).space;
    const NormGroups groups{args.space(space).sample_begin, args.node->integer("num_groups")};
    const std::int64_t partials = groups.blocks() * 2 * groups.groups, statistics = groups.samples() * groups.groups;
    auto* partial = args.scratch->reserve_for<double>(partials + statistics);
    auto* mean = reinterpret_cast<float*>(partial + partials);
    group_norm_statistics(args.input(0), groups, args.node->number("epsilon"), *args.executor, partial, mean,
                          mean + statistics);
    group_norm_apply(args.input(0), groups, mean, mean + statistics, s.gamma.as<float>().data(),
                     s.beta.as<float>().data(), *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
