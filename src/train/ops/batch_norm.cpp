#include "kernels/batch_norm.h"

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// running = (1 - momentum) running + momentum batch; the variance unbiased, as in LibTorch.
void move_running(at::Tensor running, const at::Tensor& batch, float momentum, float correction) {
  float* r = running.data_ptr<float>();
  const float* b = batch.data_ptr<float>();
  for (std::int64_t c = 0; c < running.numel(); ++c) r[c] = (1.0f - momentum) * r[c] + momentum * correction * b[c];
}

at::Tensor normalise_with_running(const ForwardArgs& args, float epsilon) {
  const auto& p = args.parameters;
  const at::Tensor inverse = at::rsqrt(p[3] + epsilon);
  at::Tensor y = (args.input(0) - p[2]) * (inverse * p[0]) + p[1];
  if (args.fusion.residual >= 0) y = y + args.values[static_cast<std::size_t>(args.fusion.residual)];
  return args.fusion.relu ? at::relu(y) : y;
}

at::Tensor normalise_with_batch(const ForwardArgs& args, float epsilon) {
  const at::Tensor x = with_unit_columns(args.input(0));
  const at::Tensor gamma = args.parameters[0].contiguous(), beta = args.parameters[1].contiguous();
  const std::int64_t rows = x.size(0), channels = x.size(1);
  const at::Tensor mean = at::empty({channels}, at::kFloat), variance = at::empty({channels}, at::kFloat);
  batch_norm_statistics(matrix(x), args.executor, mean.data_ptr<float>(), variance.data_ptr<float>());
  if (rows > 1) {
    const float momentum = static_cast<float>(args.node.number("momentum"));
    move_running(args.parameters[2], mean, momentum, 1.0f);
    move_running(args.parameters[3], variance, momentum,
                 static_cast<float>(static_cast<double>(rows) / static_cast<double>(rows - 1)));
  }
  std::vector<at::Tensor> inputs{args.input(0), args.parameters[0], args.parameters[1]};
  at::Tensor residual;
  Matrix<const float> added;
  if (args.fusion.residual >= 0) {
    inputs.push_back(args.values[static_cast<std::size_t>(args.fusion.residual)]);
    residual = with_unit_columns(inputs.back());
    added = matrix(residual);
  }
  at::Tensor y = empty_matrix(rows, channels);
  const bool relu = args.fusion.relu;
  batch_norm_apply(matrix(x), mean.data_ptr<float>(), variance.data_ptr<float>(), gamma.data_ptr<float>(),
                   beta.data_ptr<float>(), epsilon, added, relu ? Activation::relu : Activation::none, 0.0f,
                   args.executor, matrix(y));
  Executor* executor = &args.executor;
  const at::Tensor output = relu ? y.detach() : at::Tensor();
  return differentiable(y, inputs, [=](const at::Tensor& gradient, const std::vector<bool>& needed) {
    std::vector<at::Tensor> result(needed.size());
    NormFollowers followers;
    if (relu) followers.relu_output = matrix(output);
    if (needed.size() > 3 && needed[3]) {
      result[3] = relu ? empty_matrix(rows, channels) : gradient;
      if (relu) followers.residual_gradient = matrix(result[3]);
    }
    result[0] = empty_matrix(rows, channels);
    result[1] = at::empty({channels}, at::kFloat);
    result[2] = at::empty({channels}, at::kFloat);
    batch_norm_gradient(matrix(x), matrix(gradient), followers, mean.data_ptr<float>(), variance.data_ptr<float>(),
                        gamma.data_ptr<float>(), epsilon, *executor, matrix(result[0]), result[1].data_ptr<float>(),
                        result[2].data_ptr<float>());
    return result;
  });
}

}  // namespace

TrainOp batch_norm() {
  return {[](const ForwardArgs& args) {
    const float epsilon = static_cast<float>(args.node.number("epsilon"));
    return args.training ? normalise_with_batch(args, epsilon) : normalise_with_running(args, epsilon);
  }};
}

}  // namespace rarefy::train::ops
