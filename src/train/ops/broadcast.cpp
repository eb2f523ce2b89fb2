#include "kernels/pool.h"
#include "runtime/shared/samples.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp broadcast() {
  return {[](const ForwardArgs& args) {
    const runtime::SpaceValue& space = args.batch->space(args.node.inputs[1]);
    runtime::require_samples(args.node, space, args.batch->space(args.graph.type(args.node.inputs[0]).space));
    const std::vector<std::int64_t>* begin = &space.sample_begin;
    const at::Tensor x = with_unit_columns(args.input(0));
    const std::int64_t samples = x.size(0), cols = x.size(1);
    at::Tensor y = empty_matrix(space.rows, cols);
    broadcast_samples(matrix(x), *begin, Share::whole, args.executor, matrix(y));
    Executor* executor = &args.executor;
    const cpu::Isa isa = args.variant.needs;
    return differentiable(y, {args.input(0)},
                          [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>&) {
                            AlignedBuffer scratch;
                            at::Tensor gx = empty_matrix(samples, cols);
                            pool_samples(isa, matrix(gradient), *begin, Pooling::sum, *executor, scratch, matrix(gx));
                            return std::vector<at::Tensor>{gx};
                          });
  }};
}

}  // namespace rarefy::train::ops
