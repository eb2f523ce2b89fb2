#include "train/graph_module.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace rarefy::train {
namespace {

at::Tensor to_torch(const Tensor& tensor) {
  at::Tensor result = at::empty(tensor.shape(), at::kFloat);
  const auto values = tensor.as<float>();
  std::copy(values.begin(), values.end(), result.data_ptr<float>());
  return result;
}

/// The user's input features as a tensor over the same memory (nothing is copied; the batch outlives the run).
at::Tensor input_tensor(const TensorView& view) {
  return at::from_blob(view.data, {view.rows, view.cols}, {std::max(view.row_stride, view.cols), 1}, at::kFloat);
}

TensorView view_of(const at::Tensor& tensor) {
  const Dtype dtype = tensor.scalar_type() == at::kByte ? Dtype::u8 : Dtype::f32;
  return {tensor.data_ptr(), dtype, Device::cpu, tensor.size(0), tensor.size(1), tensor.size(1)};
}

/// Spaces, maps and indices that depend on the features of this pass.
void run_late_geometry(const Preparer& preparer, std::size_t node, const std::vector<at::Tensor>& values,
                       Executor& executor, Prepared& batch) {
  std::vector<TensorView> views = batch.features;
  std::vector<at::Tensor> alive;
  for (const ValueId input : preparer.graph().nodes()[node].inputs) {
    if (preparer.graph().type(input).kind != ValueKind::features) continue;
    alive.push_back(values[static_cast<std::size_t>(input)].detach().contiguous());
    views[static_cast<std::size_t>(input)] = view_of(alive.back());
  }
  preparer.run_late(node, views, executor, batch);
}

}  // namespace

GraphModule::GraphModule(Graph graph, const Weights& weights, Executor& executor, std::optional<Pipeline> pipeline)
    : graph_(std::move(graph)), preparer_(graph_, std::move(pipeline)), executor_(executor) {
  check_weights(graph_, weights);
  std::map<std::string, bool> trainable;
  for (const Node& node : graph_.nodes()) {
    const std::vector<bool> flags = graph_.parameter_trainable(node);
    for (std::size_t i = 0; i < node.parameters.size(); ++i) trainable[node.parameters[i].name] = flags[i];
  }
  for (const auto& [name, learns] : trainable) {
    index_[name] = parameters_.size();
    parameters_.push_back({name, to_torch(weights.resolve({name, {}})), learns});
    parameters_.back().value.set_requires_grad(learns);
  }
}

Weights GraphModule::weights() const {
  Weights result;
  for (const Parameter& p : parameters_) {
    Tensor tensor(Dtype::f32, p.value.sizes().vec());
    std::memcpy(tensor.mutable_data(), p.value.data_ptr<float>(), static_cast<std::size_t>(tensor.bytes()));
    result.set(p.name, std::move(tensor));
  }
  return result;
}

void GraphModule::set_weights(const Weights& weights) {
  check_weights(graph_, weights);
  for (Parameter& p : parameters_) {
    const Tensor stored = weights.resolve({p.name, {}});
    const auto values = stored.as<float>();
    std::copy(values.begin(), values.end(), p.value.data_ptr<float>());
  }
}

ValueId GraphModule::output(std::string_view name) const {
  for (const GraphOutput& output : graph_.outputs())
    if (output.name == name) return output.value;
  fail<UsageError>("the graph has no output '{}'", name);
}

void GraphModule::clear_gradients() {
  for (Parameter& p : parameters_)
    if (p.trainable) p.value.mutable_grad() = at::Tensor();
}

std::vector<bool> GraphModule::needed_values(const std::vector<ValueId>& wanted) const {
  std::vector<bool> needed(graph_.values().size());
  for (const ValueId value : wanted) needed[static_cast<std::size_t>(value)] = true;
  const auto& nodes = graph_.nodes();
  for (std::size_t n = nodes.size(); n-- > 0;) {
    const auto& outputs = nodes[n].outputs;
    if (std::none_of(outputs.begin(), outputs.end(), [&](ValueId v) { return needed[static_cast<std::size_t>(v)]; }))
      continue;
    for (const ValueId input : nodes[n].inputs) needed[static_cast<std::size_t>(input)] = true;
  }
  return needed;
}

std::vector<GraphModule::Step> GraphModule::plan(const std::vector<ValueId>& wanted, Mode mode) const {
  const auto& nodes = graph_.nodes();
  const std::vector<bool> needed = needed_values(wanted);
  const auto is_needed = [&](ValueId v) { return needed[static_cast<std::size_t>(v)]; };
  std::vector<std::vector<std::size_t>> users(graph_.values().size());
  std::vector<bool> skipped(nodes.size());
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    skipped[n] = std::none_of(nodes[n].outputs.begin(), nodes[n].outputs.end(), is_needed);
    if (!skipped[n])
      for (const ValueId input : nodes[n].inputs) users[static_cast<std::size_t>(input)].push_back(n);
  }
  // The only user of a value that nobody asked for, if it is of the given op.
  const auto next = [&](ValueId value, std::string_view op) -> std::int64_t {
    const auto& list = users[static_cast<std::size_t>(value)];
    if (list.size() != 1 || nodes[list[0]].op != op || std::count(wanted.begin(), wanted.end(), value) > 0) return -1;
    return static_cast<std::int64_t>(list[0]);
  };
  // A fused batch norm runs where the last op of its group stood, so that the residual is there.
  std::map<std::size_t, Step> moved;
  for (std::size_t n = 0; n < nodes.size() && mode == Mode::training; ++n) {
    if (skipped[n] || nodes[n].op != "batch_norm") continue;
    Step step{n, nodes[n].outputs[0], {}};
    std::size_t last = n;
    if (const std::int64_t add = next(step.result, "add");
        add >= 0 && !moved.contains(static_cast<std::size_t>(add)) && !skipped[static_cast<std::size_t>(add)]) {
      const Node& node = nodes[static_cast<std::size_t>(add)];
      const std::int64_t relu = next(node.outputs[0], "relu");
      const bool twice = node.inputs[0] == node.inputs[1];
      if (relu >= 0 && !twice) {  // an add that a relu follows; the other operand is the residual
        step.fusion = {node.inputs[0] == step.result ? node.inputs[1] : node.inputs[0], true};
        skipped[static_cast<std::size_t>(add)] = true;
        last = static_cast<std::size_t>(relu);
      }
    } else if (const std::int64_t relu = next(step.result, "relu"); relu >= 0) {
      step.fusion.relu = true;
      last = static_cast<std::size_t>(relu);
    }
    if (last == n) continue;
    skipped[n] = true;
    step.result = nodes[last].outputs[0];
    moved[last] = step;
  }
  std::vector<Step> steps;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    if (const auto found = moved.find(n); found != moved.end())
      steps.push_back(found->second);
    else if (!skipped[n])
      steps.push_back({n, nodes[n].outputs.empty() ? -1 : nodes[n].outputs[0], {}});
  }
  return steps;
}

std::vector<at::Tensor> GraphModule::node_parameters(const Node& node) const {
  std::vector<at::Tensor> result;
  for (const ParameterRef& ref : node.parameters) {
    at::Tensor value = parameters_[index_.find(ref.name)->second].value;
    for (std::size_t axis = 0; axis < ref.view.slices.size(); ++axis) {
      const auto& slice = ref.view.slices[axis];
      value = value.narrow(static_cast<std::int64_t>(axis), slice.begin, slice.end - slice.begin);
    }
    result.push_back(value);
  }
  return result;
}

std::vector<at::Tensor> GraphModule::forward(std::shared_ptr<const Prepared> batch,
                                             const std::vector<std::string>& outputs, Mode mode) {
  std::vector<ValueId> wanted;
  for (const std::string& name : outputs) wanted.push_back(output(name));
  return forward_values(std::move(batch), wanted, mode);
}

void GraphModule::set_tuning(std::shared_ptr<const Tuning> tuning) {
  if (tuning) tuning->require_match(graph_, name(select_conv_variant()));
  tuning_ = std::move(tuning);
}

std::vector<at::Tensor> GraphModule::forward_values(std::shared_ptr<const Prepared> batch,
                                                    const std::vector<ValueId>& wanted, Mode mode) {
  std::vector<at::Tensor> values(graph_.values().size());
  const ConvVariant& variant = select_conv_variant();
  for (const std::int32_t input : graph_.inputs())
    for (const ValueId value : graph_.nodes()[static_cast<std::size_t>(input)].outputs)
      if (graph_.type(value).kind == ValueKind::features)
        values[static_cast<std::size_t>(value)] = input_tensor(batch->features[static_cast<std::size_t>(value)]);
  std::shared_ptr<Prepared> extended;
  if (preparer_.has_late_geometry()) batch = extended = preparer_.extend(std::move(batch));
  for (const Step& step : plan(wanted, mode)) {
    const Node& node = graph_.nodes()[step.node];
    const TrainOp& op = train_op(node.op);
    if (preparer_.late(step.node)) run_late_geometry(preparer_, step.node, values, executor_, *extended);
    if (!op.forward) continue;
    const std::vector<at::Tensor> parameters = node_parameters(node);
    values[static_cast<std::size_t>(step.result)] =
        op.forward({graph_, node, preparer_, batch, values, parameters, executor_, variant, step.fusion,
                    mode == Mode::training, random_, tuning_.get()});
  }
  std::vector<at::Tensor> result;
  for (const ValueId value : wanted) result.push_back(values[static_cast<std::size_t>(value)]);
  return result;
}

}  // namespace rarefy::train
