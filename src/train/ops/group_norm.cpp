#include "kernels/row_norm.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp group_norm() {
  return {[](const ForwardArgs& args) {
    const auto space = static_cast<std::size_t>(args.graph.type(args.node.inputs[0]).space);
    const NormGroups groups{args.batch->geometry.spaces[space]->sample_begin, args.node.integer("num_groups")};
    const at::Tensor x = with_unit_columns(args.input(0));
    const at::Tensor gamma = args.parameters[0].contiguous(), beta = args.parameters[1].contiguous();
    const at::Tensor mean = empty_matrix(groups.samples(), groups.groups);
    const at::Tensor inverse = empty_matrix(groups.samples(), groups.groups);
    std::vector<double> partial(static_cast<std::size_t>(groups.blocks() * 2 * groups.groups));
    group_norm_statistics(matrix(x), groups, args.node.number("epsilon"), args.executor, partial.data(),
                          mean.data_ptr<float>(), inverse.data_ptr<float>());
    at::Tensor y = empty_matrix(x.size(0), x.size(1));
    group_norm_apply(matrix(x), groups, mean.data_ptr<float>(), inverse.data_ptr<float>(), gamma.data_ptr<float>(),
                     beta.data_ptr<float>(), args.executor, matrix(y));
    Executor* executor = &args.executor;
    return differentiable(
        y, {args.input(0), args.parameters[0], args.parameters[1]},
        [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>&) {
          const std::int64_t channels = x.size(1);
          std::vector<at::Tensor> result{empty_matrix(x.size(0), channels), at::empty({channels}, at::kFloat),
                                         at::empty({channels}, at::kFloat)};
          group_norm_gradient(matrix(x), matrix(gradient), groups, mean.data_ptr<float>(), inverse.data_ptr<float>(),
                              gamma.data_ptr<float>(), *executor, matrix(result[0]), result[1].data_ptr<float>(),
                              result[2].data_ptr<float>());
          return result;
        });
  }};
}

}  // namespace rarefy::train::ops
