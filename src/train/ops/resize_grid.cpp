#include "graph/images/resize.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp resize_grid() {
  return {[](const ForwardArgs& args) {
    const GridResize resize = resize_of(args.node);
    const at::Tensor x = with_unit_columns(args.input(0));
    at::Tensor y = empty_matrix(args.batch->space(args.node.inputs[1]).rows, x.size(1));
    rarefy::resize_grid(resize, matrix(x), args.executor, matrix(y));
    Executor* executor = &args.executor;
    const std::int64_t rows = x.size(0), cols = x.size(1);
    return differentiable(y, {args.input(0)}, [=](const at::Tensor& gradient, const std::vector<bool>&) {
      at::Tensor gx = empty_matrix(rows, cols);
      resize_grid_gradient(resize, matrix(gradient), *executor, matrix(gx));
      return std::vector<at::Tensor>{gx};
    });
  }};
}

}  // namespace rarefy::train::ops
