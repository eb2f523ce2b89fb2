// Convolutions and linear layers on the GPU.
#include "kernels/cuda/conv.h"

#include "runtime/cuda/ops.h"
#include "runtime/shared/conv_step.h"

namespace rarefy::runtime::cuda {
namespace {

struct ConvState {
  DeviceWeights weights;
  std::shared_ptr<DeviceBuffer> bias;  ///< null: none
};

void run(const DeviceArgs& args, const MapView* map) {
  const auto& state = *std::any_cast<const std::shared_ptr<ConvState>&>(args.state);
  DeviceEpilogue epilogue;
  if (state.bias) epilogue.bias = state.bias->as<float>();
  if (args.fusion.residual >= 0) epilogue.residual = args.real(args.fusion.residual, 1).as_rows();
  epilogue.activation = args.fusion.activation;
  epilogue.slope = args.fusion.slope;
  const Flow flow = conv(args.real_input(0).as_rows(), state.weights, map, epilogue, Flow::automatic, args.stream,
                         args.scratch.workspace, args.output().as_rows());
  if (map != nullptr) *args.dataflow = name(flow);
}

}  // namespace

std::shared_ptr<DeviceBuffer> upload(const std::vector<float>& values) {
  auto buffer = std::make_shared<DeviceBuffer>();
  const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(float));
  copy_to_device(buffer->reserve(bytes), values.data(), bytes, nullptr);
  synchronize(nullptr);
  return buffer;
}

std::any prepare_conv(const PrepareArgs& args, Arithmetic arithmetic) {
  const auto shape = args.weights.resolve(args.node.parameters[0]).shape();
  const std::int64_t cout = shape.back(), cin = shape[shape.size() - 2], volume = shape.size() == 3 ? shape[0] : 1;
  const FoldedWeights folded = fold_batch_norm(args);
  auto state = std::make_shared<ConvState>();
  const auto values = upload(folded.values);
  pack_weights(values->as<float>(), volume, cin, cout, WeightOrder::forward, arithmetic, nullptr, state->weights);
  synchronize(nullptr);
  if (!folded.bias.empty()) state->bias = upload(folded.bias);
  return state;
}

void run_conv(const DeviceArgs& args) {
  const MapView map = args.map(args.node.inputs[1]).by_mask();
  run(args, &map);
}

void run_linear(const DeviceArgs& args) { run(args, nullptr); }

}  // namespace rarefy::runtime::cuda
