#include "kernels/depthwise.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp depthwise_conv() {
  return {[](const ForwardArgs& args) {
    const ValueId map_value = args.node.inputs[1];
    const KernelMap* map = &args.batch->map(map_value);
    const Adjoint adjoint = args.preparer.adjoint(*args.batch, map_value);
    const at::Tensor x = with_unit_columns(args.input(0)), weight = args.parameters[0].contiguous();
    const bool has_bias = args.parameters.size() > 1;
    at::Tensor bias;
    ConvEpilogue epilogue;
    if (has_bias) {
      bias = args.parameters[1].contiguous();
      epilogue.bias = bias.data_ptr<float>();
    }
    Executor* executor = &args.executor;
    const ConvVariant* variant = &args.variant;
    at::Tensor y = empty_matrix(map->out_rows, x.size(1));
    depthwise_forward(*variant, matrix(x), weight.data_ptr<float>(), WeightOrder::forward, *map, epilogue, *executor,
                      matrix(y));
    std::vector<at::Tensor> inputs{args.input(0), args.parameters[0]};
    if (has_bias) inputs.push_back(args.parameters[1]);
    return differentiable(y, inputs,
                          [=, batch = args.batch](const at::Tensor& gradient, const std::vector<bool>& needed) {
                            std::vector<at::Tensor> result(needed.size());
                            if (needed[0]) {
                              result[0] = empty_matrix(x.size(0), x.size(1));
                              depthwise_forward(*variant, matrix(gradient), weight.data_ptr<float>(), adjoint.order,
                                                *adjoint.map, {}, *executor, matrix(result[0]));
                            }
                            if (needed[1]) {
                              AlignedBuffer scratch;
                              result[1] = at::empty(weight.sizes(), at::kFloat);
                              depthwise_weight_gradient(*variant, matrix(x), matrix(gradient), *map, *executor, scratch,
                                                        result[1].data_ptr<float>());
                            }
                            if (has_bias && needed[2]) {
                              result[2] = at::empty({x.size(1)}, at::kFloat);
                              column_sums(matrix(gradient), *executor, result[2].data_ptr<float>());
                            }
                            return result;
                          });
  }};
}

}  // namespace rarefy::train::ops
