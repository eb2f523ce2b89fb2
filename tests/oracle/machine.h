#pragma once
/// What the graph oracle knows while it runs. Internal to tests/oracle.
#include <map>
#include <vector>

#include "oracle/graph.h"
#include "oracle/sparse.h"

namespace rarefy::oracle {

struct Space {
  std::int64_t rows = 0;
  std::vector<Site> sites;                 ///< empty for points
  std::vector<std::int64_t> sample_begin;  ///< points
  int dims = 0;
  std::int64_t samples = 0;

  std::int64_t sample_of(std::int64_t row) const {
    if (dims > 0) return sites[static_cast<std::size_t>(row)][0];
    std::int64_t batch = 0;
    while (sample_begin[static_cast<std::size_t>(batch) + 1] <= row) ++batch;
    return batch;
  }
};

/// A row of one space that another row reads, with its weight.
struct WeightedRow {
  std::int64_t row;
  double weight;
};

struct MachineState {
  const Graph& graph;
  const Weights& weights;
  std::map<ValueId, Space> spaces;
  std::map<ValueId, std::vector<Pair>> maps;
  std::map<ValueId, std::vector<std::int64_t>> indices;
  std::map<ValueId, std::vector<std::vector<WeightedRow>>> interpolations;
  std::map<ValueId, Result> features;

  const Space& space_of(ValueId features_value) { return spaces.at(graph.type(features_value).space); }
  Result blank(ValueId value) {
    const std::int64_t rows = space_of(value).rows, cols = graph.type(value).channels;
    return {rows, cols, std::vector<double>(static_cast<std::size_t>(rows * cols)), {}};
  }
  std::vector<double> parameter(const Node& node, std::size_t i) {
    const Tensor t = weights.resolve(node.parameters[i]);
    return {t.as<float>().begin(), t.as<float>().end()};
  }
};

/// Runs locate, interpolation, interpolate; false for any other op.
bool run_point_voxel_op(MachineState& machine, const Node& node);

/// Runs attention and the other ops on tokens; false for any other op.
bool run_token_op(MachineState& machine, const Node& node);
/// Runs windows, window_rows, window_attention, scale_rows, resize_grid; false for any other op.
bool run_window_op(MachineState& machine, const Node& node);
/// Runs box, to_dense, from_dense, image_sites; false for any other op.
bool run_dense_op(MachineState& machine, const Node& node);
/// Runs layer_norm, group_norm, softmax, prelu, and dropout as it is at inference; false for any other op.
bool run_norm_op(MachineState& machine, const Node& node);
/// Runs magnitude, site_order, thin, select_best, overlay; false for any other op.
bool run_selection_op(MachineState& machine, const Node& node);

}  // namespace rarefy::oracle
