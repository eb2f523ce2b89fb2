#include "peers/torch_network.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/check.h"

namespace rarefy::peer {
namespace {

std::size_t at_value(ValueId value) { return static_cast<std::size_t>(value); }

at::Tensor to_torch(const Tensor& tensor) {
  at::Tensor result = at::empty(tensor.shape(), at::kFloat);
  std::memcpy(result.data_ptr<float>(), tensor.data(), static_cast<std::size_t>(tensor.bytes()));
  return result;
}

/// The one number that an attribute has for all axes.
std::int64_t same_for_all_axes(const Node& node, std::string_view attribute) {
  const auto& values = node.integers(attribute);
  RAREFY_CHECK(std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v == values[0]; }),
               UnsupportedError, "node '{}': the peer needs the same {} for all axes", node.name, attribute);
  return values[0];
}

void check_supported(const Graph& graph) {
  static const std::set<std::string_view> kOps{"input_points", "voxelize",   "reduce",        "select_columns",
                                               "downsample",   "kernel_map", "transpose_map", "sparse_conv",
                                               "linear",       "batch_norm", "relu",          "add",
                                               "concat",       "argmax",     "gather"};
  for (const Node& node : graph.nodes()) {
    RAREFY_CHECK(kOps.contains(node.op), UnsupportedError, "node '{}': the peer has no op '{}'", node.name, node.op);
    if (node.op == "kernel_map" || node.op == "downsample")
      RAREFY_CHECK(node.text("rule") == "block" && same_for_all_axes(node, "dilation") == 1, UnsupportedError,
                   "node '{}': the peer knows the block rule without dilation only", node.name);
    if (node.op == "voxelize") {
      const auto infinite = [](double bound) { return std::isinf(bound); };
      RAREFY_CHECK(node.text("rounding") == "floor" &&
                       std::all_of(node.numbers("crop_min").begin(), node.numbers("crop_min").end(), infinite),
                   UnsupportedError, "node '{}': the peer rounds down and crops nothing", node.name);
    }
    if (node.op == "reduce")
      RAREFY_CHECK(node.text("reduction") == "mean", UnsupportedError, "node '{}': the peer takes the mean only",
                   node.name);
  }
}

at::Tensor select_columns(const Node& node, const at::Tensor& x) {
  std::vector<at::Tensor> columns;
  for (std::size_t i = 0; i < node.integers("columns").size(); ++i)
    columns.push_back(
        x.select(1, node.integers("columns")[i]).sub(node.numbers("offset")[i]).mul_(node.numbers("scale")[i]));
  return at::stack(columns, 1);
}

}  // namespace

Interpreter::Interpreter(const Graph& graph, const Weights& weights, Use use, Derivative derivative)
    : graph_(graph),
      use_(use),
      derivative_(derivative),
      skipped_(graph.nodes().size(), 0),
      readers_(graph.values().size(), 0) {
  check_supported(graph_);
  for (const Node& node : graph_.nodes()) {
    const std::vector<bool> trainable = graph_.parameter_trainable(node);
    for (const ValueId input : node.inputs) ++readers_[at_value(input)];
    for (std::size_t i = 0; i < node.parameters.size(); ++i) {
      const ParameterRef& ref = node.parameters[i];
      RAREFY_CHECK(ref.view.empty(), UnsupportedError, "node '{}': the peer takes whole parameters only", node.name);
      at::Tensor& value = parameters_[ref.name];
      if (!value.defined()) value = to_torch(weights.at(ref.name));
      if (use == Use::training && trainable[i]) value.requires_grad_(true);
    }
  }
  for (const GraphOutput& output : graph_.outputs()) ++readers_[at_value(output.value)];
  if (use == Use::inference) fold_batch_norms();
}

at::Tensor Interpreter::parameter(const Node& node, std::size_t i) const {
  return parameters_.at(node.parameters[i].name);
}

void Interpreter::fold_batch_norms() {
  for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
    const Node& norm = graph_.nodes()[n];
    if (norm.op != "batch_norm" || !sole_reader(norm.inputs[0])) continue;
    const Node& before = graph_.producer(norm.inputs[0]);
    if (before.op != "sparse_conv" && before.op != "linear") continue;
    const at::Tensor scale = parameter(norm, 0) * at::rsqrt(parameter(norm, 3) + norm.number("epsilon"));
    at::Tensor shift = parameter(norm, 1) - parameter(norm, 2) * scale;
    if (before.parameters.size() > 1) shift = shift + parameter(before, 1) * scale;
    at::Tensor& weight = parameters_[before.parameters[0].name];
    weight = weight * scale;
    folded_bias_[&before] = shift;
    skipped_[n] = 1;
  }
}

Geometry Interpreter::geometry(const at::Tensor& points) const {
  const std::size_t count = graph_.values().size();
  Geometry g{std::vector<Sites>(count), std::vector<Map>(count), std::vector<Voxelized>(count),
             std::vector<at::Tensor>(count)};
  for (const Node& node : graph_.nodes()) {
    const auto in = [&](std::size_t i) { return at_value(node.inputs[i]); };
    const auto out = [&](std::size_t i) { return at_value(node.outputs[i]); };
    if (node.op == "input_points") {
      g.features[out(1)] = points;
    } else if (node.op == "voxelize") {
      g.indices[out(1)] = voxelize(g.features[in(0)], node.numbers("voxel_size"));
      g.sites[out(0)] = g.indices[out(1)].sites;
    } else if (node.op == "reduce") {
      g.features[out(0)] = mean_of_points(g.features[in(0)], g.indices[in(1)]);
    } else if (node.op == "downsample") {
      g.sites[out(0)] = downsample(g.sites[in(0)], same_for_all_axes(node, "stride"));
    } else if (node.op == "kernel_map") {
      g.maps[out(0)] = build_map(g.sites[in(0)], g.sites[in(1)], same_for_all_axes(node, "kernel"));
    } else if (node.op == "transpose_map") {
      const ValueId fine = graph_.type(node.outputs[0]).target;
      g.maps[out(0)] = transposed(g.maps[in(0)], g.sites[at_value(fine)].keys.numel());
    }
  }
  return g;
}

at::Tensor Interpreter::batch_norm(const Node& node, const at::Tensor& x) const {
  return at::batch_norm(x, parameter(node, 0), parameter(node, 1), parameter(node, 2), parameter(node, 3),
                        use_ == Use::training, node.number("momentum"), node.number("epsilon"), false);
}

at::Tensor Interpreter::run(const Node& node, std::vector<at::Tensor>& values, const Geometry& geometry) const {
  const auto in = [&](std::size_t i) -> const at::Tensor& { return values[at_value(node.inputs[i])]; };
  // Nobody else reads the first input: its memory may hold the result.
  const bool in_place = use_ == Use::inference && sole_reader(node.inputs[0]);
  if (node.op == "sparse_conv" || node.op == "linear") {
    at::Tensor bias = node.parameters.size() > 1 ? parameter(node, 1) : at::Tensor();
    if (const auto folded = folded_bias_.find(&node); folded != folded_bias_.end()) bias = folded->second;
    if (node.op == "sparse_conv")
      return convolve(in(0), parameter(node, 0), bias, geometry.maps[at_value(node.inputs[1])], derivative_);
    return bias.defined() ? at::addmm(bias, in(0), parameter(node, 0)) : at::mm(in(0), parameter(node, 0));
  }
  if (node.op == "select_columns") return select_columns(node, in(0));
  if (node.op == "batch_norm") return batch_norm(node, in(0));
  if (node.op == "relu") return in_place ? at::relu_(values[at_value(node.inputs[0])]) : at::relu(in(0));
  if (node.op == "add") return in_place ? values[at_value(node.inputs[0])].add_(in(1)) : in(0) + in(1);
  if (node.op == "argmax") return at::argmax(in(0), 1, true).to(at::kByte);
  if (node.op == "gather") return in(0).index_select(0, geometry.indices[at_value(node.inputs[1])].voxel_of_point);
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) parts.push_back(in(i));
  return at::cat(parts, 1);
}

std::map<std::string, at::Tensor> Interpreter::features(const Geometry& geometry,
                                                        const std::vector<std::string>& outputs) const {
  std::vector<at::Tensor> values = geometry.features;
  std::vector<int> left = readers_;
  std::map<std::string, at::Tensor> result;
  for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
    const Node& node = graph_.nodes()[n];
    // Labels teach nothing.
    const bool of_labels = node.op == "argmax" || node.op == "gather";
    if (graph_.ops().at(node.op).geometry || graph_.ops().at(node.op).is_input || node.op == "reduce" ||
        (of_labels && use_ == Use::training))
      continue;
    values[at_value(node.outputs[0])] =
        skipped_[n] != 0 ? values[at_value(node.inputs[0])] : run(node, values, geometry);
    for (const ValueId input : node.inputs)
      if (--left[at_value(input)] == 0) values[at_value(input)] = at::Tensor();
    for (const GraphOutput& output : graph_.outputs())
      if (output.value == node.outputs[0] && std::count(outputs.begin(), outputs.end(), output.name) > 0)
        result[output.name] = values[at_value(output.value)];
  }
  return result;
}

}  // namespace rarefy::peer
