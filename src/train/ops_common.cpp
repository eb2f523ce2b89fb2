#include "train/ops_common.h"

#include <algorithm>

#include "kernels/conv_int8.h"

namespace rarefy::train {
namespace {

/// Everything that the backward pass of a convolution needs.
struct ConvGradient {
  std::shared_ptr<const Prepared> batch;
  ConvCall call;
  at::Tensor x;
  at::Tensor weight;
  bool has_bias = false;
  const ConvVariant* variant = nullptr;
  Executor* executor = nullptr;
  Dataflow input_dataflow = Dataflow::automatic;
  Dataflow weight_dataflow = Dataflow::automatic;

  std::int64_t volume() const { return weight.dim() == 3 ? weight.size(0) : 1; }

  std::vector<at::Tensor> operator()(const at::Tensor& gradient, const std::vector<bool>& needed) const {
    std::vector<at::Tensor> result(has_bias ? 3 : 2);
    const std::int64_t in = weight.size(-2), out = weight.size(-1);
    if (needed[0]) {
      PackedWeights packed;
      const WeightOrder order = call.map == nullptr ? WeightOrder::transposed : call.adjoint.order;
      pack_weights(*variant, weight.data_ptr<float>(), volume(), in, out, order, packed, *executor);
      result[0] = empty_matrix(x.size(0), in);
      conv_forward(matrix(gradient), packed, call.adjoint.map, {}, *executor, matrix(result[0]), input_dataflow);
    }
    if (needed[1]) {
      AlignedBuffer scratch;
      result[1] = at::empty(weight.sizes(), at::kFloat);
      conv_weight_gradient(*variant, matrix(x), matrix(gradient), call.map, volume(), *executor, scratch,
                           result[1].data_ptr<float>(), weight_dataflow);
    }
    if (has_bias && needed[2]) {
      result[2] = at::empty({out}, at::kFloat);
      column_sums(matrix(gradient), *executor, result[2].data_ptr<float>());
    }
    return result;
  }
};

/// Weights as the layer uses them. Rounding is straight-through: the gradient is that of the rounded weight.
at::Tensor rounded_weight(const ForwardArgs& args) {
  const at::Tensor weight = args.parameters[0].contiguous();
  const auto bits = static_cast<int>(args.node.integer("weight_bits"));
  if (bits == 0) return weight;
  at::Tensor rounded = at::empty(weight.sizes(), at::kFloat);
  const std::int64_t out = weight.size(-1);
  round_weights(weight.data_ptr<float>(), weight.numel() / out, out, bits, rounded.data_ptr<float>());
  return rounded;
}

}  // namespace

at::Tensor convolve(const ForwardArgs& args, const ConvCall& call) {
  const at::Tensor x = with_unit_columns(args.input(0));
  const at::Tensor weight = rounded_weight(args);
  const bool has_bias = args.parameters.size() > 1;
  ConvGradient gradient{args.batch, call, x, weight, has_bias, &args.variant, &args.executor};
  Dataflow dataflow = Dataflow::automatic;
  if (args.tuning != nullptr) {
    const Tuning::Layer& tuned = args.tuning->layer(args.node.name);
    dataflow = dataflow_named(tuned.forward);
    gradient.input_dataflow = dataflow_named(tuned.input_gradient);
    gradient.weight_dataflow = dataflow_named(tuned.weight_gradient);
  }
  PackedWeights packed;
  pack_weights(args.variant, weight.data_ptr<float>(), gradient.volume(), weight.size(-2), weight.size(-1),
               WeightOrder::forward, packed, args.executor);
  at::Tensor bias;
  ConvEpilogue epilogue;
  if (has_bias) {
    bias = args.parameters[1].contiguous();
    epilogue.bias = bias.data_ptr<float>();
  }
  at::Tensor y = empty_matrix(call.rows, weight.size(-1));
  conv_forward(matrix(x), packed, call.map, epilogue, args.executor, matrix(y), dataflow);
  std::vector<at::Tensor> inputs{args.input(0), args.parameters[0]};
  if (has_bias) inputs.push_back(args.parameters[1]);
  return differentiable(std::move(y), inputs, std::move(gradient));
}

void for_ranges(std::int64_t size, Executor& executor, FunctionRef<void(std::int64_t, std::int64_t)> f) {
  constexpr std::int64_t kRange = 1 << 16;
  executor.parallel_for((size + kRange - 1) / kRange,
                        [&](std::int64_t part, int) { f(part * kRange, std::min(size, (part + 1) * kRange)); });
}

at::Tensor attention_probabilities(const at::Tensor& scores, const at::Tensor& sizes) {
  if (!sizes.defined()) return at::softmax(scores, 2);
  const at::Tensor p = at::softmax(scores + sizes.log().view({1, 1, -1}), 2);
  return (sizes > 0).any().item<bool>() ? p : at::zeros_like(p);
}

at::Tensor sizes_gradient(const at::Tensor& scores, const at::Tensor& sizes, const at::Tensor& away) {
  if (!(sizes > 0).any().item<bool>()) return at::zeros_like(sizes);
  // exp(score) / sum of size * exp(score): the probability per unit of size, without dividing by a size that is 0.
  // Of a row that is not attended to it may be any number; what is beyond e^30 has saturated long before.
  const at::Tensor sum = at::logsumexp(scores + sizes.log().view({1, 1, -1}), 2, true);
  return (at::exp((scores - sum).clamp_max(30.0)) * away).sum(at::IntArrayRef{0, 1}).view({-1, 1});
}

}  // namespace rarefy::train
