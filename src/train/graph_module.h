#pragma once
/// A Graph on LibTorch tensors, with autograd through the kernels that the runtime uses.
#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "train/op.h"

namespace rarefy::train {

enum class Mode : std::uint8_t {
  training,   ///< batch statistics, running ones move; batch norm fused with what follows it
  inference,  ///< running statistics, node by node
};

/// Interprets a graph. Parameters are tensors by name, shared by all nodes that refer to them. One thread at a time.
class GraphModule {
 public:
  struct Parameter {
    std::string name;
    at::Tensor value;
    bool trainable = false;
  };

  /// @param executor  must outlive the module and every backward pass
  /// @throws ShapeError when the weights do not fit the graph
  GraphModule(Graph graph, const Weights& weights, Executor& executor, std::optional<Pipeline> pipeline = {});

  /// Runs what the named outputs need. @throws UsageError for an unknown output.
  std::vector<at::Tensor> forward(std::shared_ptr<const Prepared> batch, const std::vector<std::string>& outputs,
                                  Mode mode);
  /// The same for any values; they are not fused away.
  std::vector<at::Tensor> forward_values(std::shared_ptr<const Prepared> batch, const std::vector<ValueId>& wanted,
                                         Mode mode);

  const Preparer& preparer() const { return preparer_; }
  const Graph& graph() const { return graph_; }
  Executor& executor() const { return executor_; }
  /// In order of names.
  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// Copies of the parameters' present values.
  Weights weights() const;
  void set_weights(const Weights& weights);
  ValueId output(std::string_view name) const;
  /// Names the random numbers of the forward passes that follow. The same seed and step drop the same elements.
  void set_random(StepSeed random) { random_ = random; }
  /// Dataflows of the convolutions; null: the cost model's. @throws UsageError when they are for something else
  void set_tuning(std::shared_ptr<const Tuning> tuning);
  /// Removes the gradients of all parameters.
  void clear_gradients();

 private:
  /// What one node does in a run.
  struct Step {
    std::size_t node = 0;
    ValueId result = -1;  ///< value that the step makes: the node's output, or that of the last op fused into it
    NormFusion fusion;
  };
  std::vector<Step> plan(const std::vector<ValueId>& wanted, Mode mode) const;
  std::vector<bool> needed_values(const std::vector<ValueId>& wanted) const;
  std::vector<at::Tensor> node_parameters(const Node& node) const;

  Graph graph_;
  Preparer preparer_;
  Executor& executor_;
  std::vector<Parameter> parameters_;
  std::map<std::string, std::size_t, std::less<>> index_;
  StepSeed random_;
  std::shared_ptr<const Tuning> tuning_;
};

}  // namespace rarefy::train
