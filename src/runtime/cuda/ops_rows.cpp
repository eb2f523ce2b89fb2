// What the network does with rows on the GPU, convolutions aside.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "graph/box.h"
#include "graph/pooling.h"
#include "runtime/cuda/ops.h"

namespace rarefy::runtime::cuda {
namespace {

void run_reduce(const DeviceArgs& args) {
  const Reduction reduction = reduction_named(args.node.text("reduction"));
  const DeviceIndex& index = args.index(args.node.inputs[1]);
  const Matrix2d& y = args.output();
  const Matrix2d x = y.type == args.input(0).type ? args.input(0) : args.real_input(0);
  reduce_rows(index.inverse_begin, index.inverse_order, reduction, x, args.stream, y);
}

std::any prepare_select_columns(const PrepareArgs& args, Arithmetic) {
  ColumnChoice choice;
  const auto& columns = args.node.integers("columns");
  RAREFY_CHECK(columns.size() <= ColumnChoice::kMost, UnsupportedError,
               "node '{}' (select_columns): {} columns; the GPU takes at most {}", args.node.name, columns.size(),
               ColumnChoice::kMost);
  choice.count = static_cast<int>(columns.size());
  for (std::size_t c = 0; c < columns.size(); ++c) {
    choice.column[c] = static_cast<int>(columns[c]);
    choice.offset[c] = static_cast<float>(args.node.numbers("offset")[c]);
    choice.scale[c] = static_cast<float>(args.node.numbers("scale")[c]);
  }
  return choice;
}

void run_select_columns(const DeviceArgs& args) {
  cuda::select_columns(args.input(0), std::any_cast<const ColumnChoice&>(args.state), args.stream, args.output());
}

void run_gather(const DeviceArgs& args) {
  const double fill = args.node.number("fill");
  const bool bytes = args.input(0).type == Type::u8;
  gather_rows(args.index(args.node.inputs[1]).row_of, bytes ? args.input(0) : args.real_input(0),
              static_cast<float>(bytes ? std::clamp(fill, 0.0, 255.0) : fill), args.stream, args.output());
}

void run_argmax(const DeviceArgs& args) {
  argmax_rows(args.input(0), args.stream, static_cast<std::uint8_t*>(args.output().data));
}

void run_softmax(const DeviceArgs& args) { softmax_rows(args.real_input(0), args.stream, args.output()); }

void run_interpolate(const DeviceArgs& args) {
  const DeviceInterpolation& i = args.interpolation(args.node.inputs[1]);
  interpolate_rows(i.row.as<std::int32_t>(), i.weight.as<float>(), i.corners, args.real_input(0), args.stream,
                   args.output());
}

/// Inputs that the plan placed inside the output are there already.
void run_concat(const DeviceArgs& args) {
  Matrix2d part = args.output();
  for (std::size_t i = 0; i < args.node.inputs.size(); ++i) {
    const Matrix2d& x = args.input(i);
    part.cols = x.cols;
    if (x.data != part.data) convert_rows(x, args.stream, part);
    part.data = static_cast<std::byte*>(part.data) + x.cols * size_of(part.type);
  }
}

/// Per channel; of a layer norm: gamma and beta.
struct PerChannel {
  std::shared_ptr<DeviceBuffer> factor, shift;
};

std::any prepare_batch_norm(const PrepareArgs& args, Arithmetic) {
  const auto& p = args.node.parameters;
  const auto values = [&](std::size_t i) { return args.weights.resolve(p[i]); };
  const Tensor gamma = values(0), beta = values(1), mean = values(2), variance = values(3);
  const std::size_t channels = gamma.as<float>().size();
  std::vector<float> factor(channels), shift(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double f =
        gamma.as<float>()[c] / std::sqrt(static_cast<double>(variance.as<float>()[c]) + args.node.number("epsilon"));
    factor[c] = static_cast<float>(f);
    shift[c] = static_cast<float>(beta.as<float>()[c] - mean.as<float>()[c] * f);
  }
  return PerChannel{upload(factor), upload(shift)};
}

void run_batch_norm(const DeviceArgs& args) {
  const auto& s = std::any_cast<const PerChannel&>(args.state);
  affine_rows(args.real_input(0), s.factor->as<float>(), s.shift->as<float>(), {}, Activation::none, 0.0f, args.stream,
              args.output());
}

std::any prepare_layer_norm(const PrepareArgs& args, Arithmetic) {
  const Tensor gamma = args.weights.resolve(args.node.parameters[0]),
               beta = args.weights.resolve(args.node.parameters[1]);
  return PerChannel{upload({gamma.as<float>().begin(), gamma.as<float>().end()}),
                    upload({beta.as<float>().begin(), beta.as<float>().end()})};
}

void run_layer_norm(const DeviceArgs& args) {
  const auto& s = std::any_cast<const PerChannel&>(args.state);
  layer_norm_rows(args.real_input(0), s.factor->as<float>(), s.shift->as<float>(), args.node.number("epsilon"),
                  args.stream, args.output());
}

std::any prepare_prelu(const PrepareArgs& args, Arithmetic) {
  const Tensor slope = args.weights.resolve(args.node.parameters[0]);
  return upload({slope.as<float>().begin(), slope.as<float>().end()});
}

void run_prelu(const DeviceArgs& args) {
  prelu_rows(args.real_input(0), std::any_cast<const std::shared_ptr<DeviceBuffer>&>(args.state)->as<float>(),
             args.stream, args.output());
}

std::any prepare_pool(const PrepareArgs& args, Arithmetic) { return pooling_of(args.node); }

void run_pool(const DeviceArgs& args) {
  pool_rows(args.real_input(0), args.map(args.node.inputs[1]).plain(), std::any_cast<Pooling>(args.state), args.stream,
            args.output());
}

std::any prepare_quantize(const PrepareArgs& args, Arithmetic) { return quantization_of(args.node, args.weights); }

void run_quantize(const DeviceArgs& args) {
  const auto& q = std::any_cast<const Quantization&>(args.state);
  cuda::round_rows(args.real_input(0), q.scale, static_cast<float>(q.low() - q.zero()),
                   static_cast<float>(q.high() - q.zero()), args.stream, args.output());
}

std::any prepare_dense(const PrepareArgs& args, Arithmetic) { return checked_box(args.graph, args.node); }

void run_to_dense(const DeviceArgs& args) {
  cuda::to_dense(*args.space(args.node.inputs[1]).sites, std::any_cast<const Box&>(args.state), args.real_input(0),
                 args.stream, args.output());
}

void run_from_dense(const DeviceArgs& args) {
  cuda::from_dense(*args.space(args.node.inputs[2]).sites, std::any_cast<const Box&>(args.state), args.real_input(0),
                   args.stream, args.output());
}

}  // namespace

Matrix2d DeviceArgs::real(ValueId v, std::size_t slot) const {
  const Matrix2d& x = features(v);
  if (x.type == type()) return x;
  constexpr std::int64_t kAligned = 8;  // elements: whole 16-byte words in every type
  Matrix2d y = x;
  y.type = type();
  y.stride = (x.cols + kAligned - 1) / kAligned * kAligned;
  y.data = scratch.converted[slot].reserve(y.rows * y.stride * size_of(y.type));
  convert_rows(x, stream, y);
  return y;
}

void run_elementwise(const DeviceArgs& args) {
  const auto kernel = std::any_cast<ElementwiseKernel>(args.state);
  const bool binary = args.node.inputs.size() > 1;
  kernel(args.real_input(0), binary ? args.real_input(1) : Matrix2d{},
         binary ? 0.0f : static_cast<float>(args.node.number("alpha")), args.stream, args.output());
}

void add_row_ops(DeviceOps& ops) {
  ops["reduce"].run = run_reduce;
  ops["select_columns"] = {Phase::network, prepare_select_columns, run_select_columns};
  ops["gather"].run = run_gather;
  ops["argmax"].run = run_argmax;
  ops["softmax"].run = run_softmax;
  ops["interpolate"].run = run_interpolate;
  ops["concat"].run = ops["dropout"].run = run_concat;
  ops["batch_norm"] = {Phase::network, prepare_batch_norm, run_batch_norm};
  ops["layer_norm"] = {Phase::network, prepare_layer_norm, run_layer_norm};
  ops["prelu"] = {Phase::network, prepare_prelu, run_prelu};
  ops["pool"] = {Phase::network, prepare_pool, run_pool};
  ops["quantize"] = {Phase::network, prepare_quantize, run_quantize};
  ops["to_dense"] = {Phase::network, prepare_dense, run_to_dense};
  ops["from_dense"] = {Phase::network, prepare_dense, run_from_dense};
  ops["sparse_conv"] = {Phase::network, prepare_conv, run_conv};
  ops["linear"] = {Phase::network, prepare_conv, run_linear};
}

}  // namespace rarefy::runtime::cuda
