#pragma once
/// LibTorch's autograd over kernels of our own: an output, its inputs, and a function that makes the gradients.
#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "rarefy/tensor.h"

namespace rarefy::train {

/// Gradients with respect to the inputs; undefined tensors where `needed` is false (or the gradient is zero).
/// `gradient` has unit column stride; its rows may have any stride.
using Backward = std::function<std::vector<at::Tensor>(const at::Tensor& gradient, const std::vector<bool>& needed)>;

/// Makes `output` (computed outside autograd) depend on `inputs`. What `backward` captures lives until the backward
/// pass released it; it must not capture `output` itself (a cycle), but may capture output.detach().
at::Tensor differentiable(at::Tensor output, const std::vector<at::Tensor>& inputs, Backward backward);

/// A float32 [N, C] tensor as a matrix. @throws UsageError when it has another form.
Matrix<float> matrix(const at::Tensor& tensor);
/// An uninitialised float32 tensor [rows, cols].
at::Tensor empty_matrix(std::int64_t rows, std::int64_t cols);
/// The same rows with unit column stride.
at::Tensor with_unit_columns(const at::Tensor& tensor);

}  // namespace rarefy::train
