#include "kernels/row_norm.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp magnitude() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = with_unit_columns(args.input(0));
    at::Tensor y = empty_matrix(x.size(0), 1);
    row_magnitude(matrix(x), args.executor, matrix(y));
    Executor* executor = &args.executor;
    return differentiable(y, {args.input(0)}, [x, executor](const at::Tensor& gradient, const std::vector<bool>&) {
      at::Tensor gx = empty_matrix(x.size(0), x.size(1));
      row_magnitude_gradient(matrix(x), matrix(gradient), *executor, matrix(gx));
      return std::vector<at::Tensor>{gx};
    });
  }};
}

}  // namespace rarefy::train::ops
