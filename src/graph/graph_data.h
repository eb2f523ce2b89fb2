#pragma once
/// What a Graph holds. Internal.
#include <vector>

#include "rarefy/graph.h"

namespace rarefy {

struct Graph::Data {
  std::vector<Node> nodes;
  std::vector<Value> values;
  std::vector<std::int32_t> inputs;
  std::vector<GraphOutput> outputs;
  std::vector<std::vector<ParameterSpec>> specs;  ///< per node
  OpSet ops;

  const std::vector<ParameterSpec>& specs_of(const Node& node) const {
    return specs[static_cast<std::size_t>(&node - nodes.data())];
  }
};

}  // namespace rarefy
