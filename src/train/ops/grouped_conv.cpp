#include "kernels/grouped.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp grouped_conv() {
  return {[](const ForwardArgs& args) {
    const ValueId map_value = args.node.inputs[1];
    const KernelMap* map = &args.batch->map(map_value);
    const Adjoint adjoint = args.preparer.adjoint(*args.batch, map_value);
    const at::Tensor x = with_unit_columns(args.input(0)), weight = args.parameters[0].contiguous();
    const bool has_bias = args.parameters.size() > 1;
    const std::int64_t groups = args.node.integer("groups"), in = x.size(1), out = weight.size(2);
    at::Tensor bias;
    ConvEpilogue epilogue;
    if (has_bias) {
      bias = args.parameters[1].contiguous();
      epilogue.bias = bias.data_ptr<float>();
    }
    Executor* executor = &args.executor;
    const ConvVariant* variant = &args.variant;
    GroupedWeights packed;
    pack_grouped(*variant, weight.data_ptr<float>(), map->volume, in, out, groups, WeightOrder::forward, packed,
                 *executor);
    at::Tensor y = empty_matrix(map->out_rows, out);
    grouped_forward(matrix(x), packed, map, epilogue, *executor, matrix(y));
    std::vector<at::Tensor> inputs{args.input(0), args.parameters[0]};
    if (has_bias) inputs.push_back(args.parameters[1]);
    return differentiable(
        y, inputs, [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>& needed) {
          std::vector<at::Tensor> result(needed.size());
          if (needed[0]) {
            GroupedWeights transposed;
            pack_grouped(*variant, weight.data_ptr<float>(), map->volume, in, out, groups, adjoint.order, transposed,
                         *executor);
            result[0] = empty_matrix(x.size(0), in);
            grouped_forward(matrix(gradient), transposed, adjoint.map, {}, *executor, matrix(result[0]));
          }
          if (needed[1]) {
            result[1] = at::empty(weight.sizes(), at::kFloat);
            grouped_weight_gradient(*variant, matrix(x), matrix(gradient), map, map->volume, groups, *executor,
                                    result[1].data_ptr<float>());
          }
          if (has_bias && needed[2]) {
            result[2] = at::empty({out}, at::kFloat);
            column_sums(matrix(gradient), *executor, result[2].data_ptr<float>());
          }
          return result;
        });
  }};
}

}  // namespace rarefy::train::ops
