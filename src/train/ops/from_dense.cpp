#include "graph/box.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

/// Its gradient is to_dense.
TrainOp from_dense() {
  return {[](const ForwardArgs& args) {
    const Box box = checked_box(args.graph, args.node);
    const Coords* sites = args.batch->geometry.spaces[static_cast<std::size_t>(args.node.inputs[2])]->coords;
    const at::Tensor x = with_unit_columns(args.input(0));
    at::Tensor y = empty_matrix(sites->rows(), x.size(1) / box.depth());
    rarefy::from_dense(*sites, box, matrix(x), args.executor, matrix(y));
    Executor* executor = &args.executor;
    const std::int64_t rows = x.size(0), cols = x.size(1);
    return differentiable(y, {args.input(0)},
                          [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>&) {
                            at::Tensor gx = empty_matrix(rows, cols);
                            rarefy::to_dense(*sites, box, matrix(gradient), *executor, matrix(gx));
                            return std::vector<at::Tensor>{gx};
                          });
  }};
}

}  // namespace rarefy::train::ops
