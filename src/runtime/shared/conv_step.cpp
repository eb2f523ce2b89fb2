#include "runtime/shared/conv_step.h"

#include <cmath>

#include "runtime/plan_impl.h"

namespace rarefy::runtime {
namespace {

/// y = (x W) * factor + bias per output channel: what batch norm and bias amount to.
struct Affine {
  std::vector<double> factor;
  std::vector<float> bias;  ///< empty: none
};

struct ConvState {
  PackedWeights weights;     ///< of a layer on real numbers
  Int8Weights int_weights;   ///< of a layer on integers
  HalfWeights half_weights;  ///< of a layer that keeps them in 16 bits
  std::vector<float> bias;   ///< empty: none
  std::vector<float> scale;
  std::optional<Quantization> result;    ///< what ends the chain
  std::optional<Quantization> residual;  ///< when it is kept as bytes
  Dataflow dataflow = Dataflow::automatic;
};

Affine affine_of(const PrepareArgs& args, std::int64_t channels) {
  Affine affine;
  affine.factor.assign(static_cast<std::size_t>(channels), 1.0);
  if (args.node.parameters.size() > 1) {
    const Tensor bias = args.weights.resolve(args.node.parameters[1]);
    affine.bias.assign(bias.as<float>().begin(), bias.as<float>().end());
  }
  if (args.fusion.batch_norm == nullptr) return affine;
  // y = (x W + bias - mean) / sqrt(var + epsilon) * gamma + beta, folded in double
  const Node& norm = *args.fusion.batch_norm;
  const Tensor gamma = args.weights.resolve(norm.parameters[0]), beta = args.weights.resolve(norm.parameters[1]);
  const Tensor mean = args.weights.resolve(norm.parameters[2]), variance = args.weights.resolve(norm.parameters[3]);
  affine.bias.resize(static_cast<std::size_t>(channels), 0.0f);
  for (std::size_t c = 0; c < affine.factor.size(); ++c) {
    affine.factor[c] =
        gamma.as<float>()[c] / std::sqrt(static_cast<double>(variance.as<float>()[c]) + norm.number("epsilon"));
    affine.bias[c] = static_cast<float>((affine.bias[c] - static_cast<double>(mean.as<float>()[c])) * affine.factor[c] +
                                        beta.as<float>()[c]);
  }
  return affine;
}

std::vector<float> fold(const PrepareArgs& args, const Tensor& weight, const Affine& affine) {
  std::vector<float> values(weight.as<float>().begin(), weight.as<float>().end());
  const auto bits = args.node.attributes.find("weight_bits");
  if (bits != args.node.attributes.end() && std::get<std::int64_t>(bits->second) != 0)
    round_weights(weight.as<float>().data(), weight.size() / weight.shape().back(), weight.shape().back(),
                  static_cast<int>(std::get<std::int64_t>(bits->second)), values.data());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(values[i] * affine.factor[i % affine.factor.size()]);
  return values;
}

}  // namespace

FoldedWeights fold_batch_norm(const PrepareArgs& args) {
  const Tensor weight = args.weights.resolve(args.node.parameters[0]);
  Affine affine = affine_of(args, weight.shape().back());
  std::vector<float> values = fold(args, weight, affine);
  return {std::move(values), std::move(affine.bias)};
}

ConvEpilogue epilogue_of(const RunArgs& args, const std::vector<float>& bias) {
  ConvEpilogue epilogue;
  if (!bias.empty()) epilogue.bias = bias.data();
  if (args.fusion->residual >= 0) epilogue.residual = args.view(args.fusion->residual).matrix<const float>();
  epilogue.activation = args.fusion->activation;
  epilogue.slope = args.fusion->slope;
  return epilogue;
}

std::any prepare_conv(const PrepareArgs& args) {
  const Tensor weight = args.weights.resolve(args.node.parameters[0]);
  const auto& shape = weight.shape();
  const std::int64_t cout = shape.back(), cin = shape[shape.size() - 2], volume = shape.size() == 3 ? shape[0] : 1;
  const int bits = static_cast<int>(args.node.integer("weight_bits"));
  auto state = std::make_shared<ConvState>();
  const Affine affine = affine_of(args, cout);
  state->bias = affine.bias;
  if (args.fusion.quantize != nullptr) state->result = quantization_of(*args.fusion.quantize, args.weights);
  if (args.fusion.residual >= 0) state->residual = args.bytes_of(args.fusion.residual);
  const auto x_is = args.bytes_of(args.node.inputs[0]);
  if (x_is && bits != 0) {
    std::vector<std::int8_t> values(weight.as<float>().size());
    state->scale.resize(static_cast<std::size_t>(cout));
    quantize_weights(weight.as<float>().data(), volume * cin, cout, bits, values.data(), state->scale.data());
    for (std::size_t c = 0; c < state->scale.size(); ++c)
      state->scale[c] = static_cast<float>(static_cast<double>(x_is->scale) * state->scale[c] * affine.factor[c]);
    pack_int8_weights(select_int8_variant(std::max(bits, x_is->bits)), values.data(), volume, cin, cout, x_is->zero(),
                      state->int_weights);
    return state;
  }
  if (args.weights_as == Dtype::f16) {
    const std::vector<float> factor(affine.factor.begin(), affine.factor.end());
    pack_half_weights(select_half_variant(args.variant.needs), weight.as<float>().data(), volume, cin, cout, factor,
                      state->half_weights);
    return state;
  }
  pack_weights(args.variant, fold(args, weight, affine).data(), volume, cin, cout, WeightOrder::forward,
               state->weights);
  state->dataflow = args.dataflow_of(args.node);
  return state;
}

namespace {

void run_integers(const RunArgs& args, const ConvState& state, const KernelMap* map) {
  Int8Epilogue epilogue;
  epilogue.scale = state.scale.data();
  if (!state.bias.empty()) epilogue.bias = state.bias.data();
  if (state.residual) {
    epilogue.stored_residual = args.view(args.fusion->residual).matrix<const std::uint8_t>();
    epilogue.residual_is = *state.residual;
  } else if (args.fusion->residual >= 0) {
    epilogue.residual = args.view(args.fusion->residual).matrix<const float>();
  }
  epilogue.activation = args.fusion->activation;
  epilogue.slope = args.fusion->slope;
  const auto x = args.input<std::uint8_t>(0);
  *args.variant = state.int_weights.variant->name;
  if (args.view(args.node->outputs[0]).dtype == Dtype::u8) {
    conv_int8(x, state.int_weights, map, epilogue, *state.result, *args.executor, *args.scratch,
              args.output<std::uint8_t>(0));
    return;
  }
  conv_int8(x, state.int_weights, map, epilogue, *args.executor, *args.scratch, args.output(0));
  if (state.result) round_rows(args.output(0), *state.result, *args.executor, args.output(0));
}

FloatRows rows_of(const TensorView& view) {
  if (view.dtype == Dtype::f16) return view.matrix<const Half>();
  return view.matrix<const float>();
}

void run_halves(const RunArgs& args, const ConvState& state, const KernelMap* map) {
  HalfEpilogue epilogue;
  if (!state.bias.empty()) epilogue.bias = state.bias.data();
  if (args.fusion->residual >= 0) epilogue.residual = rows_of(args.view(args.fusion->residual));
  epilogue.activation = args.fusion->activation;
  epilogue.slope = args.fusion->slope;
  FloatRowsOut y = Matrix<float>();
  if (args.view(args.node->outputs[0]).dtype == Dtype::f16) {
    y = args.output<Half>(0);
  } else {
    y = args.output(0);
  }
  conv_half(rows_of(args.view(args.node->inputs[0])), state.half_weights, map, epilogue, *args.executor, *args.scratch,
            y);
  *args.variant = state.half_weights.variant->name;
}

}  // namespace

void run_conv(const RunArgs& args, const KernelMap* map) {
  const auto& state = *std::any_cast<const std::shared_ptr<ConvState>&>(*args.state);
  if (state.int_weights.variant != nullptr) return run_integers(args, state, map);
  if (state.half_weights.variant != nullptr) return run_halves(args, state, map);
  const Dataflow ran = conv_forward(args.input(0), state.weights, map, epilogue_of(args, state.bias), *args.executor,
                                    args.output(0), state.dataflow);
  if (map != nullptr) *args.dataflow = name(ran);
  if (state.result) round_rows(args.output(0), *state.result, *args.executor, args.output(0));
  *args.variant = name(*state.weights.variant);
}

}  // namespace rarefy::runtime
