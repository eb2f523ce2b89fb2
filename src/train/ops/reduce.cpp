#include "base/check.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

Reduction reduction_of(const std::string& text) {
  if (text == "mean") return Reduction::mean;
  if (text == "first") return Reduction::first;
  if (text == "sum") return Reduction::sum;
  RAREFY_CHECK(text == "max", UnsupportedError, "training: there is no reduction '{}'", text);
  return Reduction::max;
}

}  // namespace

TrainOp reduce() {
  return {[](const ForwardArgs& args) {
    const Voxels* voxels = &args.batch->index(args.node.inputs[1]);
    const Reduction reduction = reduction_of(args.node.text("reduction"));
    const at::Tensor x = with_unit_columns(args.input(0));
    at::Tensor y = empty_matrix(voxels->voxels(), x.size(1));
    reduce_to_voxels(*voxels, matrix(x), reduction, args.executor, matrix(y));
    Executor* executor = &args.executor;
    return differentiable(
        y, {args.input(0)},
        [batch = args.batch, voxels, reduction, x, executor](const at::Tensor& gradient, const std::vector<bool>&) {
          at::Tensor gx = empty_matrix(x.size(0), x.size(1));
          reduce_to_voxels_gradient(*voxels, matrix(x), matrix(gradient), reduction, *executor, matrix(gx));
          return std::vector<at::Tensor>{gx};
        });
  }};
}

}  // namespace rarefy::train::ops
