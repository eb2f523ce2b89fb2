#include "graph/pooling.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp pool() {
  return {[](const ForwardArgs& args) {
    const ValueId map_value = args.node.inputs[1];
    const KernelMap* map = &args.batch->map(map_value);
    const Adjoint adjoint = args.preparer.adjoint(*args.batch, map_value);
    const Pooling pooling = pooling_of(args.node);
    const cpu::Isa isa = args.variant.needs;
    const at::Tensor x = with_unit_columns(args.input(0));
    const std::int64_t rows = x.size(0), cols = x.size(1);
    at::Tensor y = empty_matrix(map->out_rows, cols), winner;
    if (pooling == Pooling::max) winner = at::empty({map->out_rows, cols}, at::kInt);
    const auto winners = [](const at::Tensor& w) { return w.defined() ? w.data_ptr<std::int32_t>() : nullptr; };
    pool_forward(isa, matrix(x), *map, pooling, args.executor, matrix(y), winners(winner));
    Executor* executor = &args.executor;
    return differentiable(y, {args.input(0)},
                          [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>&) {
                            AlignedBuffer scratch;
                            at::Tensor gx = empty_matrix(rows, cols);
                            pool_gradient(isa, matrix(gradient), *map, *adjoint.map, adjoint.order, pooling,
                                          winners(winner), *executor, scratch, matrix(gx));
                            return std::vector<at::Tensor>{gx};
                          });
  }};
}

}  // namespace rarefy::train::ops
