#include "graph/geometry_part.h"

#include <algorithm>

namespace rarefy {

std::vector<bool> geometry_part(const Graph& graph) {
  std::vector<bool> ahead;
  for (const Node& node : graph.nodes()) {
    const auto is_ahead = [&](ValueId input) {
      return static_cast<bool>(ahead[static_cast<std::size_t>(graph.values()[static_cast<std::size_t>(input)].node)]);
    };
    ahead.push_back(graph.ops().at(node.op).geometry && std::all_of(node.inputs.begin(), node.inputs.end(), is_ahead));
  }
  return ahead;
}

}  // namespace rarefy
