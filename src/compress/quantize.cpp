#include "compress/quantize.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "base/check.h"
#include "base/text.h"
#include "compress/rewrite.h"

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

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

bool is_layer(const Node& node) { return node.op == "sparse_conv" || node.op == "linear"; }

bool is_one_of(const std::string& op, std::initializer_list<std::string_view> ops) {
  return std::find(ops.begin(), ops.end(), op) != ops.end();
}

/// Rows that are chosen or merged: input 0 are the rows, the others say which.
bool picks_rows(const Node& node) { return is_one_of(node.op, {"gather", "merge_rows", "fuse_rows"}); }

/// The normalised rows of a transformer, or those of them that are left.
bool is_normalised(const Graph& graph, ValueId value) {
  const Node& node = graph.producer(value);
  return node.op == "layer_norm" || (picks_rows(node) && is_normalised(graph, node.inputs[0]));
}

/// Features that layers make, as opposed to what comes from the network's input. A norm over channels and attention
/// make features of known size from anything.
bool made_by_layers(const Graph& graph, ValueId value) {
  const Node& node = graph.producer(value);
  if (is_layer(node) || is_one_of(node.op, {"layer_norm", "attention"})) return true;
  if (picks_rows(node)) return made_by_layers(graph, node.inputs[0]);
  if (!is_one_of(node.op, {"batch_norm", "relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "add", "concat"}))
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

}  // namespace

Calibration::Calibration(const Model& model, int threads) : model_(model) {
  const Graph& graph = model.graph();
  for (const Node& node : graph.nodes())
    RAREFY_CHECK(node.op != "quantize", UsageError,
                 "the model is quantized already (node '{}'): start from the original", node.name);
  Groups groups;
  std::vector<ValueId> read(graph.nodes().size(), -1);  // by layer: one of the features that it reads
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!is_layer(node) || !made_by_layers(graph, node.inputs[0])) continue;
    std::vector<ValueId> parts;
    collect(graph, node.inputs[0], parts);
    for (const ValueId part : parts) groups.join(part, parts[0]);
    read[n] = parts[0];
  }
  std::map<ValueId, int> number;
  for (const auto& [value, unused] : groups.parent) {
    const ValueId root = groups.find(value);
    group_of_[value] = number.try_emplace(root, static_cast<int>(number.size())).first->second;
  }
  RAREFY_CHECK(!group_of_.empty(), UnsupportedError,
               "nothing to quantize: no convolution or linear layer reads what another one made");
  groups_.resize(number.size());
  layers_of_.resize(number.size());
  group_of_layer_.assign(graph.nodes().size(), -1);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    if (read[n] < 0) continue;
    group_of_layer_[n] = group_of_.at(read[n]);
    layers_of_[static_cast<std::size_t>(group_of_layer_[n])].push_back(graph.nodes()[n].name);
  }
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

// ---- the quantized graph
// ---------------------------------------------------------------------------------------------

namespace {

/// Who reads the rounded form of features and who reads them as they are.
struct Readers {
  const Graph& graph;
  const std::vector<int>& bits;  ///< by node: of integer layers, else 0
  std::vector<char> rounded, plain;

  Readers(const Graph& g, const std::vector<int>& bits_of_nodes)
      : graph(g), bits(bits_of_nodes), rounded(g.values().size(), 0), plain(g.values().size(), 0) {
    for (const GraphOutput& o : g.outputs()) plain[at(o.value)] = 1;
    for (std::size_t n = g.nodes().size(); n-- > 0;) {
      const Node& node = g.nodes()[n];
      for (const ValueId v : node.inputs) {
        if (node.op != "concat") {
          (wants_rounded(n, v) ? rounded : plain)[at(v)] = 1;
          continue;
        }
        if (rounded[at(node.outputs[0])] != 0) rounded[at(v)] = 1;
        if (plain[at(node.outputs[0])] != 0) plain[at(v)] = 1;
      }
    }
  }

  /// An integer layer does, and a sum at the end of one: the runtime adds in the layer's own pass, where bytes are
  /// cheaper to read than real numbers. Not in a transformer: the sums are few there and carry what all blocks made.
  bool wants_rounded(std::size_t n, ValueId value) const {
    const Node& node = graph.nodes()[n];
    if (is_layer(node)) return bits[n] != 0;
    return node.op == "add" && !is_normalised(graph, value) &&
           std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](ValueId other) { return other != value && ends_integer_layer(other); });
  }

  bool ends_integer_layer(ValueId value) const {
    const auto n = static_cast<std::size_t>(graph.values()[at(value)].node);
    const Node& node = graph.nodes()[n];
    return node.op == "batch_norm" ? ends_integer_layer(node.inputs[0]) : is_layer(node) && bits[n] != 0;
  }
};

}  // namespace

std::vector<int> Calibration::bits_of_nodes(const QuantizeOptions& options) const {
  const Graph& graph = model_.graph();
  std::vector<std::string> known;
  for (const LayerGroup& group : layers_of_) known.insert(known.end(), group.begin(), group.end());
  const auto check_bits = [](int bits) {
    RAREFY_CHECK(bits >= 2 && bits <= 8, UsageError, "quantize to 2 to 8 bits, not {}", bits);
  };
  check_bits(options.bits);
  for (const auto& [layer, wanted] : options.layers) {
    RAREFY_CHECK(std::find(known.begin(), known.end(), layer) != known.end(), UsageError,
                 "quantize: '{}' is no layer that can be quantized{}", layer, did_you_mean(layer, known));
    if (wanted != 0) check_bits(wanted);
  }
  std::vector<int> bits(graph.nodes().size(), 0);
  std::vector<std::size_t> first(layers_of_.size(), graph.nodes().size());  // integer layer of each group
  for (std::size_t n = 0; n < bits.size(); ++n) {
    if (group_of_layer_[n] < 0) continue;
    const std::string& name = graph.nodes()[n].name;
    const auto own = options.layers.find(name);
    bits[n] = own != options.layers.end() ? own->second : options.bits;
    if (bits[n] == 0) continue;
    std::size_t& other = first[static_cast<std::size_t>(group_of_layer_[n])];
    if (other == bits.size()) other = n;
    RAREFY_CHECK(bits[other] == bits[n], UsageError,
                 "quantize: layers '{}' ({} bits) and '{}' ({} bits) read features that share a scale: give both the "
                 "same bits, or let one keep real numbers",
                 graph.nodes()[other].name, bits[other], name, bits[n]);
  }
  return bits;
}

Model Calibration::quantize(const QuantizeOptions& options) const {
  const std::vector<int> bits = bits_of_nodes(options);
  RAREFY_CHECK(observed_ > 0, UsageError,
               "quantize: nothing was observed yet; call observe with representative inputs");
  const Graph& graph = model_.graph();
  const Readers readers(graph, bits);
  std::vector<int> group_bits(groups_.size(), 0);
  for (std::size_t n = 0; n < bits.size(); ++n)
    if (bits[n] != 0) group_bits[static_cast<std::size_t>(group_of_layer_[n])] = bits[n];
  Copier copier(graph);
  std::vector<ValueId> rounded(graph.values().size(), -1);  // by value: its rounded form in the new graph
  Weights weights = model_.weights();
  const auto add_rounding = [&](const Node& node, ValueId v) {
    const auto group = group_of_.find(v);
    if (group == group_of_.end() || readers.rounded[at(v)] == 0) return;
    const Magnitudes& seen = groups_[static_cast<std::size_t>(group->second)];
    const int wanted = group_bits[static_cast<std::size_t>(group->second)];
    if (wanted == 0) return;  // only a sum would read it
    const std::string name = node.name + ".quantize";
    Tensor scale(Dtype::f32, {1});
    scale.mutable_as<float>()[0] = seen.scale(wanted, options.rule);
    weights.set(name + ".scale", std::move(scale));
    const Attributes how{{"bits", std::int64_t{wanted}}, {"has_sign", std::int64_t{seen.negative() ? 1 : 0}}};
    rounded[at(v)] = copier.builder.add("quantize", {copier.to[at(v)]}, how, name, {{name + ".scale", {}}})[0];
  };
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    const bool concat = node.op == "concat";
    if (concat && readers.rounded[at(node.outputs[0])] != 0) {
      std::vector<ValueId> parts;
      for (const ValueId v : node.inputs) parts.push_back(rounded[at(v)]);
      if (std::find(parts.begin(), parts.end(), -1) == parts.end()) {
        const bool both = readers.plain[at(node.outputs[0])] != 0;
        rounded[at(node.outputs[0])] =
            copier.builder.add("concat", std::move(parts), node.attributes, node.name + (both ? ".rounded" : ""))[0];
        if (!both) continue;
      }
    }
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) {
      const ValueId plain = copier.to[at(v)], other = rounded[at(v)];
      const bool round = plain < 0 || (!concat && other >= 0 && readers.wants_rounded(n, v));
      inputs.push_back(round ? other : plain);
    }
    Attributes attributes = node.attributes;
    if (bits[n] != 0) attributes["weight_bits"] = std::int64_t{bits[n]};
    copier.copy(node, std::move(inputs), std::move(attributes));
    for (const ValueId v : node.outputs) add_rounding(node, v);
  }
  for (const GraphOutput& o : graph.outputs()) copier.builder.output(o.name, copier.to[at(o.value)]);
  Model quantized(copier.builder.build(), std::move(weights), model_.pipeline());
  quantized.notes = model_.notes;
  return quantized;
}

}  // namespace rarefy::compress
