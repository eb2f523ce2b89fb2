#include "runtime/conv_step.h"

#include <cmath>

namespace rarefy::runtime {
namespace {

struct ConvState {
  PackedWeights weights;
  std::vector<float> bias;  ///< empty: none
};

}  // namespace

std::any prepare_conv(const PrepareArgs& args) {
  const Tensor weight = args.weights.resolve(args.node.parameters[0]);
  const auto& shape = weight.shape();
  const std::int64_t cout = shape.back(), cin = shape[shape.size() - 2], volume = shape.size() == 3 ? shape[0] : 1;
  auto state = std::make_shared<ConvState>();
  if (args.node.parameters.size() > 1) {
    const Tensor bias = args.weights.resolve(args.node.parameters[1]);
    state->bias.assign(bias.as<float>().begin(), bias.as<float>().end());
  }
  std::vector<float> values(weight.as<float>().begin(), weight.as<float>().end());
  if (args.fusion.batch_norm != nullptr) {
    // y = (x W + bias - mean) / sqrt(var + epsilon) * gamma + beta, folded in double
    const Node& norm = *args.fusion.batch_norm;
    const Tensor gamma = args.weights.resolve(norm.parameters[0]), beta = args.weights.resolve(norm.parameters[1]);
    const Tensor mean = args.weights.resolve(norm.parameters[2]), variance = args.weights.resolve(norm.parameters[3]);
    state->bias.resize(static_cast<std::size_t>(cout), 0.0f);
    std::vector<double> scale(static_cast<std::size_t>(cout));
    for (std::size_t c = 0; c < scale.size(); ++c) {
      scale[c] =
          gamma.as<float>()[c] / std::sqrt(static_cast<double>(variance.as<float>()[c]) + norm.number("epsilon"));
      state->bias[c] = static_cast<float>((state->bias[c] - static_cast<double>(mean.as<float>()[c])) * scale[c] +
                                          beta.as<float>()[c]);
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(values[i] * scale[i % static_cast<std::size_t>(cout)]);
  }
  pack_weights(args.variant, values.data(), volume, cin, cout, WeightOrder::forward, state->weights);
  return state;
}

void run_conv(const RunArgs& args, const KernelMap* map) {
  const auto& state = *std::any_cast<const std::shared_ptr<ConvState>&>(*args.state);
  ConvEpilogue epilogue;
  if (!state.bias.empty()) epilogue.bias = state.bias.data();
  if (args.fusion->residual >= 0) epilogue.residual = args.view(args.fusion->residual).matrix<const float>();
  epilogue.activation = args.fusion->activation;
  epilogue.slope = args.fusion->slope;
  conv_forward(args.input(0), state.weights, map, epilogue, *args.executor, args.output(0));
  *args.variant = name(*state.weights.variant);
}

}  // namespace rarefy::runtime
