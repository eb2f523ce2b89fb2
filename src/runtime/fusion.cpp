#include <algorithm>

#include "graph/geometry_part.h"
#include "runtime/plan_impl.h"

namespace rarefy::runtime {
namespace {

struct Fuser {
  const Graph& graph;
  const Weights& weights;
  std::vector<std::vector<std::int32_t>> readers;  ///< nodes that read a value
  std::vector<char> is_output;
  std::vector<char> taken;          ///< nodes that became part of a step
  std::vector<std::int32_t> ready;  ///< node index at which a value exists; -1 = not yet decided

  Fuser(const Graph& g, const Weights& w)
      : graph(g),
        weights(w),
        readers(g.values().size()),
        is_output(g.values().size(), 0),
        taken(g.nodes().size(), 0),
        ready(g.values().size(), -1) {
    for (std::size_t n = 0; n < g.nodes().size(); ++n)
      for (const ValueId input : g.nodes()[n].inputs)
        readers[static_cast<std::size_t>(input)].push_back(static_cast<std::int32_t>(n));
    for (const GraphOutput& o : g.outputs()) is_output[static_cast<std::size_t>(o.value)] = 1;
  }

  /// The only reader of a value that nobody else wants to see, or -1.
  std::int32_t sole_reader(ValueId value) const {
    const auto v = static_cast<std::size_t>(value);
    return readers[v].size() == 1 && is_output[v] == 0 ? readers[v][0] : -1;
  }

  bool take_batch_norm(Step& step, std::int32_t n) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
    if (node.op != "batch_norm" || step.fusion.batch_norm != nullptr || step.fusion.add != nullptr) return false;
    step.fusion.batch_norm = &node;
    return true;
  }

  /// The other operand must exist before the step runs, that is: be made by an earlier node.
  bool take_add(Step& step, std::int32_t n) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
    if (node.op != "add" || step.fusion.add != nullptr) return false;
    const ValueId other = node.inputs[0] == step.result ? node.inputs[1] : node.inputs[0];
    const std::int32_t made = ready[static_cast<std::size_t>(other)];
    if (other == step.result || made < 0 || made >= step.node) return false;
    step.fusion.add = &node;
    step.fusion.residual = other;
    step.reads.push_back(other);
    return true;
  }

  bool take_activation(Step& step, std::int32_t n) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
    if (node.op == "relu")
      step.fusion.activation = Activation::relu;
    else if (node.op == "leaky_relu") {
      step.fusion.activation = Activation::leaky_relu;
      step.fusion.slope = static_cast<float>(node.number("alpha"));
    } else {
      return false;
    }
    return true;
  }

  bool take_quantize(Step& step, std::int32_t n) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
    const Node& layer = graph.nodes()[static_cast<std::size_t>(step.node)];
    if (node.op != "quantize" || !computes_on_integers(graph, weights, layer)) return false;
    step.fusion.quantize = &node;
    return true;
  }

  bool take(Step& step, std::int32_t n) {
    if (take_quantize(step, n)) return true;
    if (step.fusion.activation != Activation::none) return false;
    return take_batch_norm(step, n) || take_add(step, n) || take_activation(step, n);
  }

  void extend(Step& step) {
    while (step.fusion.quantize == nullptr) {
      const std::int32_t n = sole_reader(step.result);
      if (n < 0 || !take(step, n)) return;
      taken[static_cast<std::size_t>(n)] = 1;
      const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
      step.label += "+" + node.op;
      step.result = node.outputs[0];
    }
  }
};

/// Reductions over anything but the voxelization of points are layers of the network.
std::string kind_of(const Graph& graph, const Node& node, const RuntimeOp& op) {
  if (node.op == "reduce" && graph.producer(node.inputs[1]).op != "voxelize") return "network";
  return op.kind;
}

}  // namespace

std::vector<Step> make_steps(const Graph& graph, const Weights& weights, bool fuse) {
  Fuser fuser(graph, weights);
  const std::vector<bool> ahead = geometry_part(graph);
  std::vector<Step> geometry, rest;
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    if (fuser.taken[n] != 0) continue;
    const Node& node = graph.nodes()[n];
    const OpDef& op = graph.ops().at(node.op);
    if (op.is_input) {
      for (const ValueId v : node.outputs) fuser.ready[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(n);
      continue;
    }
    Step step;
    step.node = static_cast<std::int32_t>(n);
    step.op = &runtime_op(node.op);
    step.label = node.op;
    step.ahead = ahead[n];
    step.kind = kind_of(graph, node, *step.op);
    step.result = node.outputs.empty() ? -1 : node.outputs[0];
    for (const ValueId input : node.inputs)
      if (graph.type(input).kind == ValueKind::features) step.reads.push_back(input);
    if (fuse && step.op->fuses) fuser.extend(step);
    for (const ValueId v : node.outputs) fuser.ready[static_cast<std::size_t>(v)] = step.node;
    fuser.ready[static_cast<std::size_t>(step.result)] = step.node;
    (ahead[n] ? geometry : rest).push_back(std::move(step));
  }
  geometry.insert(geometry.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
  return geometry;
}

}  // namespace rarefy::runtime
