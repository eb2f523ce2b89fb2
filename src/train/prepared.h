#pragma once
/// A batch whose geometry is done: spaces, kernel maps and their adjoints. Needs no LibTorch; built ahead on another
/// thread.
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/op.h"

namespace rarefy::train {

/// On which map, and with which order of weights, the input gradient of a convolution runs.
struct Adjoint {
  const KernelMap* map = nullptr;
  WeightOrder order = WeightOrder::transposed;
};

/// Geometry and input features of one batch.
struct Prepared {
  runtime::GeometryValues geometry;
  std::vector<TensorView> features;                        ///< by ValueId; only those of inputs are filled
  std::map<ValueId, std::shared_ptr<KernelMap>> adjoints;  ///< transposed maps that the graph itself does not hold
  std::vector<AlignedBuffer> buffers;                      ///< features that had to be converted, per input
  std::vector<std::vector<std::int32_t>> order;  ///< per input: row that became row i (sparse inputs), or empty
  std::vector<float> points;                     ///< for callers that own the data behind `features` here
  bool intensity_missing = false;
  std::shared_ptr<const Prepared> ahead;  ///< what this batch extends, whose memory it refers to; or null

  const runtime::SpaceValue& space(ValueId value) const { return *geometry.spaces[static_cast<std::size_t>(value)]; }
  const KernelMap& map(ValueId value) const { return *geometry.maps[static_cast<std::size_t>(value)]; }
  const Voxels& index(ValueId value) const { return *geometry.indices[static_cast<std::size_t>(value)]; }
  const Interpolation& interpolation(ValueId value) const {
    return *geometry.interpolations[static_cast<std::size_t>(value)];
  }
};

/// Makes batches ready for a graph.
class Preparer {
 public:
  explicit Preparer(Graph graph, std::optional<Pipeline> pipeline = {});
  /// Binds the inputs and runs all geometry. `inputs` must outlive the batch unless their data lie in `out.points`.
  /// @throws UsageError (missing or unknown input), InputError.
  void prepare(const Inputs& inputs, Executor& executor, Prepared& out) const;
  /// Whether the geometry of some nodes depends on features, so that a forward pass must run it: see extend.
  bool has_late_geometry() const;
  /// Whether a node makes spaces, maps or indices that depend on features.
  bool late(std::size_t node) const { return late_[node]; }
  /// The batch with room of its own for what depends on features: a forward pass fills it node by node with run_late,
  /// and two passes over one batch do not meet.
  std::shared_ptr<Prepared> extend(std::shared_ptr<const Prepared> batch) const;
  /// Runs one late node. `features` holds the views of the node's input features.
  void run_late(std::size_t node, const std::vector<TensorView>& features, Executor& executor, Prepared& batch) const;
  /// The adjoint of a map value.
  Adjoint adjoint(const Prepared& batch, ValueId map) const;
  const Graph& graph() const { return graph_; }

 private:
  /// Value of the map that is the transpose of `map` and exists in the graph, or -1.
  ValueId transpose_in_graph(ValueId map) const;
  bool submanifold(ValueId map) const;
  bool late_value(ValueId value) const;
  void transpose(ValueId map, Executor& executor, Prepared& batch) const;

  Graph graph_;
  std::optional<Pipeline> pipeline_;
  runtime::GeometryRunner runner_;
  std::vector<ValueId> maps_;  ///< those that layers use
  std::vector<bool> late_;     ///< by node
};

}  // namespace rarefy::train
