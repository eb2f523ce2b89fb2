#pragma once
/// How ops learn. One file per op in train/ops; the stem is the op's name (a link error names a missing one).
/// Element-wise ops come from the table graph/elementwise.inc.
#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/conv.h"
#include "rarefy/graph.h"
#include "rarefy/tuning.h"
#include "train/prepared.h"

namespace rarefy::train {

/// What was fused into a batch norm in training: saves one pass over memory per fused op, forward and backward.
struct NormFusion {
  ValueId residual = -1;  ///< added before the activation, or -1
  bool relu = false;
};

/// Names the random numbers of one training step: with node and element they are a function of these two.
struct StepSeed {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

/// What the forward pass of one node sees.
struct ForwardArgs {
  const Graph& graph;
  const Node& node;
  const Preparer& preparer;
  std::shared_ptr<const Prepared> batch;      ///< backward functions keep it alive
  const std::vector<at::Tensor>& values;      ///< by ValueId
  const std::vector<at::Tensor>& parameters;  ///< after their views, in the order of Node::parameters
  Executor& executor;
  const ConvVariant& variant;
  NormFusion fusion = {};
  bool training = true;            ///< batch norm: statistics of the batch, and running ones move; dropout drops
  StepSeed random = {};            ///< dropout
  const Tuning* tuning = nullptr;  ///< dataflows of convolutions; null: the cost model's

  const at::Tensor& input(std::size_t i) const { return values[static_cast<std::size_t>(node.inputs[i])]; }
};

/// The training side of an op.
struct TrainOp {
  /// Output features with their history; empty for geometry, which the Preparer runs.
  std::function<at::Tensor(const ForwardArgs&)> forward;
};

/// Spaces, maps, indices and inputs: nothing to differentiate, nothing to run here.
inline TrainOp no_gradient() { return {}; }

/// The training side of every built-in op.
const std::map<std::string, TrainOp, std::less<>>& train_ops();
/// @throws UnsupportedError naming the op.
const TrainOp& train_op(std::string_view op);

/// One TrainOp per row of elementwise.inc.
std::map<std::string, TrainOp, std::less<>> elementwise_train_ops();

}  // namespace rarefy::train
