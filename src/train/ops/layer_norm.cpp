#include "kernels/row_norm.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp layer_norm() {
  return {[](const ForwardArgs& args) {
    const double epsilon = args.node.number("epsilon");
    const at::Tensor x = with_unit_columns(args.input(0));
    const at::Tensor gamma = args.parameters[0].contiguous(), beta = args.parameters[1].contiguous();
    at::Tensor y = empty_matrix(x.size(0), x.size(1));
    rarefy::layer_norm(args.variant.needs, matrix(x), gamma.data_ptr<float>(), beta.data_ptr<float>(), epsilon,
                       args.executor, matrix(y));
    Executor* executor = &args.executor;
    return differentiable(
        y, {args.input(0), args.parameters[0], args.parameters[1]},
        [=](const at::Tensor& gradient, const std::vector<bool>&) {
          const std::int64_t channels = x.size(1);
          std::vector<at::Tensor> result{empty_matrix(x.size(0), channels), at::empty({channels}, at::kFloat),
                                         at::empty({channels}, at::kFloat)};
          layer_norm_gradient(matrix(x), matrix(gradient), gamma.data_ptr<float>(), epsilon, *executor,
                              matrix(result[0]), result[1].data_ptr<float>(), result[2].data_ptr<float>());
          return result;
        });
  }};
}

}  // namespace rarefy::train::ops
