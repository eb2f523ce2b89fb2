#pragma once
/// Runs a whole graph the slow, obvious way, in double: the judge of plans, sessions and training.
#include <map>
#include <string>
#include <vector>

#include "rarefy/graph.h"

namespace rarefy::oracle {

/// Rows of an output, and for sparse spaces their coordinates (batch, x, ...).
struct Result {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> values;
  std::vector<std::int32_t> coords;
};
/// Every feature value of the graph by "node" (first output) or "node:i"; graph outputs by name as "=name".
std::map<std::string, Result> run(const Graph& graph, const Weights& weights,
                                  const std::vector<OpExample::Data>& inputs);

}  // namespace rarefy::oracle
