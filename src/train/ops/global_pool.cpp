#include "graph/pooling.h"
#include "runtime/shared/samples.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp global_pool() {
  return {[](const ForwardArgs& args) {
    const runtime::SpaceValue& space = args.batch->space(args.graph.type(args.node.inputs[0]).space);
    runtime::require_samples(args.node, space, args.batch->space(args.node.inputs[1]));
    const std::vector<std::int64_t>* begin = &space.sample_begin;
    const Pooling pooling = pooling_of(args.node);
    const at::Tensor x = with_unit_columns(args.input(0));
    const std::int64_t rows = x.size(0), cols = x.size(1), samples = runtime::samples_of(space);
    at::Tensor y = empty_matrix(samples, cols), winner;
    if (pooling == Pooling::max) winner = at::empty({samples, cols}, at::kInt);
    const auto winners = [](const at::Tensor& w) { return w.defined() ? w.data_ptr<std::int32_t>() : nullptr; };
    AlignedBuffer scratch;
    pool_samples(args.variant.needs, matrix(x), *begin, pooling, args.executor, scratch, matrix(y), winners(winner));
    Executor* executor = &args.executor;
    return differentiable(
        y, {args.input(0)}, [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>&) {
          at::Tensor gx = empty_matrix(rows, cols);
          pool_samples_gradient(matrix(gradient), *begin, pooling, winners(winner), *executor, matrix(gx));
          return std::vector<at::Tensor>{gx};
        });
  }};
}

}  // namespace rarefy::train::ops
