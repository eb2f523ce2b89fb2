#include "kernels/row_norm.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  Tensor gamma, beta;
  cpu::Isa isa;
};

}  // namespace

RuntimeOp layer_norm() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any {
    const auto& p = args.node.parameters;
    return State{args.weights.resolve(p[0]), args.weights.resolve(p[1]), args.variant.needs};
  };
  op.run = [](const RunArgs& args) {
    const auto& s = std::any_cast<const State&>(*args.state);
    rarefy::layer_norm(s.isa, args.input(0), s.gamma.as<float>().data(), s.beta.as<float>().data(),
                       args.node->number("epsilon"), *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
