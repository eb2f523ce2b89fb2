#include "kernels/batch_norm.h"

#include "runtime/op.h"

namespace rarefy::runtime::ops {
namespace {

struct State {
  Tensor gamma, beta, mean, variance;
};

}  // namespace

RuntimeOp batch_norm() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any {
    const auto& p = args.node.parameters;
    return State{args.weights.resolve(p[0]), args.weights.resolve(p[1]), args.weights.resolve(p[2]),
                 args.weights.resolve(p[3])};
  };
  op.run = [](const RunArgs& args) {
    const auto& s = std::any_cast<const State&>(*args.state);
    batch_norm_apply(args.input(0), s.mean.as<float>().data(), s.variance.as<float>().data(),
                     s.gamma.as<float>().data(), s.beta.as<float>().data(),
                     static_cast<float>(args.node->number("epsilon")), {}, Activation::none, 0.0f, *args.executor,
                     args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
