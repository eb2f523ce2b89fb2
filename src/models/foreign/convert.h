#pragma once
/// A graph's weights from a foreign state dict: by the project's names where they are known, else by shape and order.
#include <string>
#include <vector>

#include "models/foreign/state_dict.h"
#include "rarefy/graph.h"
#include "rarefy/weights.h"

namespace rarefy::models::foreign {

/// One layer that was found.
struct Match {
  std::string ours, theirs;
  bool by_name = false;  ///< else the first of this kind and shape that was left
};
/// A layer that is there, but of another shape.
struct Difference {
  std::string ours, theirs;
  std::string wanted, found;  ///< shapes, for people
};
struct Conversion {
  Weights weights;
  std::vector<Match> matched;
  std::vector<Difference> differs;
  std::vector<std::string> missing;     ///< layers of ours, with their shapes
  std::vector<std::string> unexpected;  ///< layers of theirs that nobody asked for, with their shapes
  bool complete() const { return missing.empty() && differs.empty(); }
};

/// Layers are matched whole (a convolution with its bias, a norm with its statistics). First under their own name and
/// under the names that the source gives, then in the order of the graph with the first unused layer of the state dict
/// that has the same kind and shapes. Counters of batches ("num_batches_tracked") are no layers.
/// @throws UnsupportedError (kernels that have no equal, a graph whose parameters are views)
Conversion convert(const Graph& graph, const StateDict& dict, const Source& source);

}  // namespace rarefy::models::foreign
