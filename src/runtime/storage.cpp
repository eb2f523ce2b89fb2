// Which values are kept as bytes.
#include <cmath>

#include "base/check.h"
#include "runtime/plan_impl.h"

namespace rarefy::runtime {
namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }
bool is_layer(const Node& node) { return node.op == "sparse_conv" || node.op == "linear"; }

/// Drops values one by one until what is left fits together.
struct Chooser {
  const Graph& graph;
  const Weights& weights;
  const std::vector<Step>& steps;
  std::vector<std::optional<Quantization>> stored;

  const Node& node_of(const Step& step) const { return graph.nodes()[static_cast<std::size_t>(step.node)]; }

  /// Whether the layer of this step runs on integers as things stand.
  bool on_integers(const Step& step) const {
    const Node& node = node_of(step);
    return is_layer(node) && node.integer("weight_bits") != 0 && stored[at(node.inputs[0])];
  }

  void propose() {
    for (const Step& step : steps) {
      const Node& node = node_of(step);
      if (step.fusion.quantize != nullptr || node.op == "quantize") {
        stored[at(step.result)] =
            quantization_of(step.fusion.quantize != nullptr ? *step.fusion.quantize : node, weights);
      } else if (node.op == "concat") {
        stored[at(step.result)] = quantization_of(graph, weights, step.result);
      }
    }
    for (const GraphOutput& o : graph.outputs()) stored[at(o.value)].reset();
  }

  /// A value that this step reads or makes in a way that bytes do not allow, or -1.
  ValueId misfit(const Step& step) const {
    const Node& node = node_of(step);
    if (node.op == "concat") {
      bool all = stored[at(step.result)].has_value();
      for (const ValueId input : node.inputs) all = all && stored[at(input)];
      if (all) return -1;
      for (const ValueId input : node.inputs)
        if (stored[at(input)]) return input;
      return stored[at(step.result)] ? step.result : -1;
    }
    const bool integers = on_integers(step);
    if (step.fusion.quantize != nullptr && stored[at(step.result)] && !integers) return step.result;
    for (const ValueId read : step.reads)
      if (stored[at(read)] && !integers) return read;
    return -1;
  }

  void settle() {
    for (bool changed = true; changed;) {
      changed = false;
      for (const Step& step : steps) {
        const ValueId value = misfit(step);
        if (value < 0) continue;
        stored[at(value)].reset();
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

std::vector<std::optional<Quantization>> choose_storage(const Graph& graph, const Weights& weights,
                                                        const std::vector<Step>& steps) {
  Chooser chooser{graph, weights, steps, std::vector<std::optional<Quantization>>(graph.values().size())};
  chooser.propose();
  chooser.settle();
  return std::move(chooser.stored);
}

}  // namespace rarefy::runtime
