#pragma once
/// What passes share: a graph copied node by node, with changes.
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "rarefy/model.h"

namespace rarefy::compress {

/// The same nodes in a new builder, and where each value went.
struct Copier {
  const Graph& graph;
  GraphBuilder builder;
  std::vector<ValueId> to;  ///< by value of `graph`; -1 = not copied

  explicit Copier(const Graph& g) : graph(g), builder(g.ops()), to(g.values().size(), -1) {}

  ValueId at(ValueId value) const { return to[static_cast<std::size_t>(value)]; }
  /// Where the node's inputs went.
  std::vector<ValueId> inputs_of(const Node& node) const {
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(at(v));
    return inputs;
  }
  /// @param inputs  in the new graph
  void copy(const Node& node, std::vector<ValueId> inputs, Attributes attributes) {
    const auto made = builder.add(node.op, std::move(inputs), std::move(attributes), node.name, node.parameters);
    for (std::size_t i = 0; i < made.size(); ++i) to[static_cast<std::size_t>(node.outputs[i])] = made[i];
  }
  void copy(const Node& node) { copy(node, inputs_of(node), node.attributes); }
};

/// The same model with other outputs, by name.
Model with_outputs(const Model& model, const std::vector<std::pair<std::string, ValueId>>& outputs);

}  // namespace rarefy::compress
