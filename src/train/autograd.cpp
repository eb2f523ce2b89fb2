#include "train/autograd.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <utility>

#include "base/check.h"

namespace rarefy::train {
namespace {

/// A node of LibTorch's graph whose derivative is a C++ function.
struct FunctionNode final : torch::autograd::Node {
  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const std::size_t inputs = next_edges().size();
    if (!gradients[0].defined()) return torch::autograd::variable_list(inputs);
    RAREFY_CHECK(backward, UsageError, "the backward pass of a training step can run once only");
    std::vector<bool> needed(inputs);
    for (std::size_t i = 0; i < inputs; ++i) needed[i] = should_compute_output(i);
    return backward(with_unit_columns(gradients[0]), needed);
  }
  void release_variables() override { backward = nullptr; }

  Backward backward;
};

}  // namespace

at::Tensor differentiable(at::Tensor output, const std::vector<at::Tensor>& inputs, Backward backward) {
  bool needed = false;
  for (const at::Tensor& input : inputs) needed = needed || (input.defined() && input.requires_grad());
  if (!needed || !at::GradMode::is_enabled()) return output;
  auto node = std::shared_ptr<FunctionNode>(new FunctionNode, torch::autograd::deleteNode);
  node->backward = std::move(backward);
  for (const at::Tensor& input : inputs)
    node->add_next_edge(input.defined() ? torch::autograd::impl::gradient_edge(input) : torch::autograd::Edge());
  torch::autograd::create_gradient_edge(output, node);
  return output;
}

at::Tensor with_unit_columns(const at::Tensor& tensor) {
  if (tensor.dim() == 2 && (tensor.size(1) <= 1 || tensor.stride(1) == 1) &&
      (tensor.size(0) <= 1 || tensor.stride(0) >= tensor.size(1)))
    return tensor;
  return tensor.contiguous();
}

Matrix<float> matrix(const at::Tensor& tensor) {
  RAREFY_CHECK(tensor.dim() == 2 && tensor.scalar_type() == at::kFloat, UsageError,
               "expected a float32 matrix, found {} dimensions of type {}", tensor.dim(),
               c10::toString(tensor.scalar_type()));
  RAREFY_CHECK(tensor.size(1) <= 1 || tensor.stride(1) == 1, UsageError, "expected rows without gaps between columns");
  const std::int64_t stride = tensor.size(0) > 1 ? tensor.stride(0) : tensor.size(1);
  return {tensor.data_ptr<float>(), tensor.size(0), tensor.size(1), stride};
}

at::Tensor empty_matrix(std::int64_t rows, std::int64_t cols) { return at::empty({rows, cols}, at::kFloat); }

}  // namespace rarefy::train
