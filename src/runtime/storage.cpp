// Which weights are kept in 16 bits, and which values in those or as bytes.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/half.h"
#include "runtime/plan_impl.h"

namespace rarefy::runtime {
namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }
bool is_layer(const Node& node) { return node.op == "sparse_conv" || node.op == "linear"; }

bool joins(const Node& node) { return node.op == "concat" || node.op == "dropout"; }  // of one, at inference

/// No finite value would become infinite.
bool fits_half(const Tensor& tensor) {
  const auto values = tensor.as<float>();
  return std::all_of(values.begin(), values.end(),
                     [](float v) { return !std::isfinite(v) || std::isfinite(widen(narrow(v))); });
}

/// Drops values one by one until what is left fits together.
struct Chooser {
  const Graph& graph;
  const Weights& weights;
  const std::vector<Step>& steps;
  KeptValues kept;

  const Node& node_of(const Step& step) const { return graph.nodes()[static_cast<std::size_t>(step.node)]; }
  bool is_kept_as(ValueId value, Dtype dtype) const { return kept[at(value)] && kept[at(value)]->dtype == dtype; }

  /// Whether the layer of this step runs on integers as things stand.
  bool on_integers(const Step& step) const {
    const Node& node = node_of(step);
    return is_layer(node) && node.integer("weight_bits") != 0 && is_kept_as(node.inputs[0], Dtype::u8);
  }

  void propose_bytes() {
    const auto propose = [&](ValueId value, const std::optional<Quantization>& q) {
      if (q) kept[at(value)] = Kept{Dtype::u8, *q};
    };
    for (const Step& step : steps) {
      const Node& node = node_of(step);
      if (step.fusion.quantize != nullptr || node.op == "quantize") {
        propose(step.result, quantization_of(step.fusion.quantize != nullptr ? *step.fusion.quantize : node, weights));
      } else if (node.op == "concat") {
        propose(step.result, quantization_of(graph, weights, step.result));
      }
    }
  }

  void propose_halves() {
    for (const Step& step : steps)
      if ((step.weights_as == Dtype::f16 || joins(node_of(step))) && !kept[at(step.result)])
        kept[at(step.result)] = Kept{Dtype::f16};
  }

  /// The inputs and the output are all kept, and alike, or none is.
  ValueId misfit_of_join(const Step& step) const {
    const Node& node = node_of(step);
    const auto& first = kept[at(step.result)];
    const auto like_result = [&](ValueId v) {
      return kept[at(v)].has_value() && first.has_value() && kept[at(v)]->dtype == first->dtype;
    };
    if (std::all_of(node.inputs.begin(), node.inputs.end(), like_result)) return -1;
    for (const ValueId input : node.inputs)
      if (kept[at(input)]) return input;
    return first ? step.result : -1;
  }

  /// A value that this step reads or makes in a way that it cannot be kept, or -1.
  ValueId misfit(const Step& step) const {
    if (joins(node_of(step))) return misfit_of_join(step);
    const bool integers = on_integers(step);
    if (step.fusion.quantize != nullptr && kept[at(step.result)] && !integers) return step.result;
    for (const ValueId read : step.reads)
      if (kept[at(read)] && !(is_kept_as(read, Dtype::u8) ? integers : step.weights_as == Dtype::f16)) return read;
    return -1;
  }

  void settle() {
    for (bool changed = true; changed;) {
      changed = false;
      for (const Step& step : steps) {
        const ValueId value = misfit(step);
        if (value < 0) continue;
        kept[at(value)].reset();
        changed = true;
      }
    }
  }
};

}  // namespace

Quantization quantization_of(const Node& quantize, const Weights& weights) {
  const float scale = weights.resolve(quantize.parameters[0]).as<float>()[0];
  RAREFY_CHECK(scale > 0.0f && std::isfinite(scale), UsageError,
               "node '{}' (quantize): parameter {} is {}, expected a positive number", quantize.name,
               quantize.parameters[0].name, scale);
  return {.scale = scale,
          .bits = static_cast<int>(quantize.integer("bits")),
          .has_sign = quantize.integer("has_sign") != 0};
}

std::optional<Quantization> quantization_of(const Graph& graph, const Weights& weights, ValueId value) {
  const Node& node = graph.producer(value);
  if (node.op == "quantize") return quantization_of(node, weights);
  if (node.op != "concat") return {};
  const auto first = quantization_of(graph, weights, node.inputs[0]);
  for (const ValueId input : node.inputs)
    if (quantization_of(graph, weights, input) != first) return {};
  return first;
}

bool computes_on_integers(const Graph& graph, const Weights& weights, const Node& node) {
  return is_layer(node) && node.integer("weight_bits") != 0 &&
         quantization_of(graph, weights, node.inputs[0]).has_value();
}

void choose_weights(const Graph& graph, const Weights& weights, Storage storage, std::vector<Step>& steps) {
  if (storage == Storage::real) return;
  for (Step& step : steps) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(step.node)];
    if (!is_layer(node) || node.integer("weight_bits") != 0) continue;
    const ParameterRef& weight = node.parameters[0];
    const bool is_half = weights.at(weight.name).dtype() == Dtype::f16;
    if (is_half || (storage == Storage::half && fits_half(weights.resolve(weight)))) step.weights_as = Dtype::f16;
  }
}

KeptValues choose_storage(const Graph& graph, const Weights& weights, const PlanOptions& options,
                          const std::vector<Step>& steps) {
  Chooser chooser{graph, weights, steps, KeptValues(graph.values().size())};
  if (options.integers) chooser.propose_bytes();
  chooser.propose_halves();
  for (const GraphOutput& o : graph.outputs()) chooser.kept[at(o.value)].reset();
  chooser.settle();
  return std::move(chooser.kept);
}

}  // namespace rarefy::runtime
