#include "compress/quantize.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace rarefy::compress {

// ---- scales
// ----------------------------------------------------------------------------------------------------------

void Magnitudes::widen(float magnitude) {
  while (magnitude >= range_) {
    for (int b = 0; b < kBins / 2; ++b)
      bins_[static_cast<std::size_t>(b)] =
          bins_[static_cast<std::size_t>(2 * b)] + bins_[static_cast<std::size_t>(2 * b + 1)];
    std::fill(bins_.begin() + kBins / 2, bins_.end(), 0);
    range_ *= 2;
  }
}

void Magnitudes::add(Matrix<const float> values) {
  for (std::int64_t r = 0; r < values.rows; ++r) {
    for (std::int64_t c = 0; c < values.cols; ++c) {
      const float v = values(r, c);
      if (!std::isfinite(v)) continue;
      ++count_;
      if (v == 0.0f) {
        ++zeros_;
        continue;
      }
      negative_ = negative_ || v < 0.0f;
      const float magnitude = std::abs(v);
      largest_ = std::max(largest_, magnitude);
      if (magnitude >= range_) widen(magnitude);
      ++bins_[static_cast<std::size_t>(magnitude / range_ * kBins)];
    }
  }
}

/// Of the values as the middles of their bins; zeros are exact.
double Magnitudes::squared_error(float scale, double most_steps) const {
  double sum = 0;
  for (int b = 0; b < kBins; ++b) {
    const std::int64_t n = bins_[static_cast<std::size_t>(b)];
    if (n == 0) continue;
    const double v = (b + 0.5) * range_ / kBins;
    const double stored = std::min(std::nearbyint(v / scale), most_steps) * scale;
    sum += static_cast<double>(n) * (v - stored) * (v - stored);
  }
  return sum;
}

float Magnitudes::scale(int bits, ScaleRule rule) const {
  if (largest_ == 0.0f) return 1.0f;
  const double steps = (1 << (negative_ ? bits - 1 : bits)) - 1;
  const auto whole = static_cast<float>(largest_ / steps);
  if (rule == ScaleRule::minmax) return whole;
  if (rule == ScaleRule::percentile) {
    const auto wanted = static_cast<std::int64_t>(0.9999 * static_cast<double>(count_));
    std::int64_t below = zeros_;
    for (int b = 0; b < kBins; ++b) {
      below += bins_[static_cast<std::size_t>(b)];
      if (below >= wanted && below > zeros_) return static_cast<float>((b + 1) * range_ / kBins / steps);
    }
    return whole;
  }
  float best = whole;
  double least = squared_error(whole, steps);
  for (int share = 30; share < 100; ++share) {
    const float scale = whole * static_cast<float>(share) / 100.0f;
    const double error = squared_error(scale, steps);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

// ---- what becomes integer
// --------------------------------------------------------------------------------------------

namespace {

bool is_layer(const Node& node) { return node.op == "sparse_conv" || node.op == "linear"; }

/// Features that layers make, as opposed to what comes from the network's input.
bool made_by_layers(const Graph& graph, ValueId value) {
  const Node& node = graph.producer(value);
  if (is_layer(node)) return true;
  if (node.op != "batch_norm" && node.op != "relu" && node.op != "leaky_relu" && node.op != "add" &&
      node.op != "concat")
    return false;
  return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return made_by_layers(graph, v); });
}

/// The features that a concatenation of any depth consists of.
void collect(const Graph& graph, ValueId value, std::vector<ValueId>& parts) {
  const Node& node = graph.producer(value);
  if (node.op != "concat") {
    parts.push_back(value);
    return;
  }
  for (const ValueId input : node.inputs) collect(graph, input, parts);
}

/// Groups of features that share a scale.
struct Groups {
  std::map<ValueId, ValueId> parent;
  ValueId find(ValueId v) {
    parent.try_emplace(v, v);
    while (parent[v] != v) v = parent[v];
    return v;
  }
  void join(ValueId a, ValueId b) { parent[find(a)] = find(b); }
};

/// The same nodes; `visit` may add more or change attributes. Returns the builder and where each value went.
struct Copier {
  const Graph& graph;
  GraphBuilder builder;
  std::vector<ValueId> to;

  explicit Copier(const Graph& g) : graph(g), builder(g.ops()), to(g.values().size(), -1) {}

  std::vector<ValueId> copy(const Node& node, Attributes attributes) {
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(to[static_cast<std::size_t>(v)]);
    auto made = builder.add(node.op, inputs, std::move(attributes), node.name, node.parameters);
    for (std::size_t i = 0; i < made.size(); ++i) to[static_cast<std::size_t>(node.outputs[i])] = made[i];
    return made;
  }
};

/// The same model with other outputs.
Model with_outputs(const Model& model, const std::vector<std::pair<std::string, ValueId>>& outputs) {
  Copier copier(model.graph());
  for (const Node& node : model.graph().nodes()) copier.copy(node, node.attributes);
  for (const auto& [name, value] : outputs) copier.builder.output(name, copier.to[static_cast<std::size_t>(value)]);
  return Model(copier.builder.build(), model.weights(), model.pipeline());
}

}  // namespace

Calibration::Calibration(const Model& model, int threads) : model_(model) {
  const Graph& graph = model.graph();
  for (const Node& node : graph.nodes())
    RAREFY_CHECK(node.op != "quantize", UsageError,
                 "the model is quantized already (node '{}'): start from the original", node.name);
  Groups groups;
  layers_.assign(graph.nodes().size(), 0);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!is_layer(node) || !made_by_layers(graph, node.inputs[0])) continue;
    layers_[n] = 1;
    std::vector<ValueId> parts;
    collect(graph, node.inputs[0], parts);
    for (const ValueId part : parts) groups.join(part, parts[0]);
  }
  std::map<ValueId, int> number;
  for (const auto& [value, unused] : groups.parent) {
    const ValueId root = groups.find(value);
    group_of_[value] = number.try_emplace(root, static_cast<int>(number.size())).first->second;
  }
  RAREFY_CHECK(!group_of_.empty(), UnsupportedError,
               "nothing to quantize: no convolution or linear layer reads what another one made");
  groups_.resize(number.size());
  constexpr std::size_t kPerRun = 6;
  std::vector<std::pair<std::string, ValueId>> outputs;
  std::vector<std::pair<std::string, int>> watched;
  const auto flush = [&] {
    if (outputs.empty()) return;
    sessions_.emplace_back(with_outputs(model, outputs), SessionOptions{.threads = threads});
    watched_.push_back(std::move(watched));
    outputs.clear();
    watched.clear();
  };
  for (const auto& [value, group] : group_of_) {
    outputs.emplace_back(std::to_string(value), value);
    watched.emplace_back(std::to_string(value), group);
    if (outputs.size() == kPerRun) flush();
  }
  flush();
}

void Calibration::observe(const Inputs& inputs) {
  for (std::size_t s = 0; s < sessions_.size(); ++s) {
    const Outputs& found = sessions_[s].run(inputs);
    for (const auto& [name, group] : watched_[s])
      groups_[static_cast<std::size_t>(group)].add(found[name].matrix<const float>());
  }
  ++observed_;
}

Model Calibration::quantize(const QuantizeOptions& options) const {
  RAREFY_CHECK(options.bits >= 2 && options.bits <= 8, UsageError, "quantize to 2 to 8 bits, not {}", options.bits);
  RAREFY_CHECK(observed_ > 0, UsageError,
               "quantize: nothing was observed yet; call observe with representative inputs");
  const Graph& graph = model_.graph();
  Copier copier(graph);
  Weights weights = model_.weights();
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    Attributes attributes = node.attributes;
    if (layers_[n] != 0) attributes["weight_bits"] = std::int64_t{options.bits};
    copier.copy(node, std::move(attributes));
    for (const ValueId v : node.outputs) {
      const auto group = group_of_.find(v);
      if (group == group_of_.end()) continue;
      const Magnitudes& seen = groups_[static_cast<std::size_t>(group->second)];
      const std::string name = node.name + ".quantize";
      Tensor scale(Dtype::f32, {1});
      scale.mutable_as<float>()[0] = seen.scale(options.bits, options.rule);
      weights.set(name + ".scale", std::move(scale));
      ValueId& to = copier.to[static_cast<std::size_t>(v)];
      to = copier.builder.add(
          "quantize", {to}, {{"bits", std::int64_t{options.bits}}, {"has_sign", std::int64_t{seen.negative() ? 1 : 0}}},
          name, {{name + ".scale", {}}})[0];
    }
  }
  for (const GraphOutput& o : graph.outputs())
    copier.builder.output(o.name, copier.to[static_cast<std::size_t>(o.value)]);
  Model quantized(copier.builder.build(), std::move(weights), model_.pipeline());
  quantized.notes = model_.notes;
  return quantized;
}

}  // namespace rarefy::compress
