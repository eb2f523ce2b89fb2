#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp interpolate() {
  return {[](const ForwardArgs& args) {
    const Interpolation* weights = &args.batch->interpolation(args.node.inputs[1]);
    const at::Tensor x = with_unit_columns(args.input(0));
    at::Tensor y = empty_matrix(weights->rows(), x.size(1));
    rarefy::interpolate(*weights, matrix(x), args.executor, matrix(y));
    Executor* executor = &args.executor;
    const std::int64_t rows = x.size(0), cols = x.size(1);
    return differentiable(
        y, {args.input(0)},
        [batch = args.batch, weights, rows, cols, executor](const at::Tensor& gradient, const std::vector<bool>&) {
          at::Tensor gx = empty_matrix(rows, cols);
          interpolate_gradient(*weights, matrix(gradient), *executor, matrix(gx));
          return std::vector<at::Tensor>{gx};
        });
  }};
}

}  // namespace rarefy::train::ops
