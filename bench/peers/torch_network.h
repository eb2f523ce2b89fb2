#pragma once
/// A rarefy Graph interpreted with LibTorch's operators.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "peers/torch_sparse.h"
#include "rarefy/graph.h"

namespace rarefy::peer {

/// What depends on coordinates only (and the features of voxels), by ValueId.
struct Geometry {
  std::vector<Sites> sites;
  std::vector<Map> maps;
  std::vector<Voxelized> indices;
  std::vector<at::Tensor> features;  ///< of the points, and of the voxels
};

enum class Use : std::uint8_t { inference, training };

/// Runs nodes in order. Parameters are tensors by name.
class Interpreter {
 public:
  using Parameters = std::map<std::string, at::Tensor>;
  /// Inference folds batch norms into the convolutions before them.
  /// @throws UnsupportedError naming an op, or an attribute, that the peer does not have
  Interpreter(const Graph& graph, const Weights& weights, Use use, Derivative derivative);

  Geometry geometry(const at::Tensor& points) const;
  /// Value of the graph output `name`; of all outputs in `also` too.
  std::map<std::string, at::Tensor> features(const Geometry& geometry, const std::vector<std::string>& outputs) const;
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  void fold_batch_norms();
  bool sole_reader(ValueId value) const { return readers_[static_cast<std::size_t>(value)] == 1; }
  at::Tensor run(const Node& node, std::vector<at::Tensor>& values, const Geometry& geometry) const;
  at::Tensor batch_norm(const Node& node, const at::Tensor& x) const;
  at::Tensor parameter(const Node& node, std::size_t i) const;

  Graph graph_;
  Use use_;
  Derivative derivative_;
  Parameters parameters_;
  std::map<const Node*, at::Tensor> folded_bias_;  ///< convolutions that took a batch norm up
  std::vector<char> skipped_;                      ///< nodes: folded away
  std::vector<int> readers_;                       ///< by value
};

}  // namespace rarefy::peer
