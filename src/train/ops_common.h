#pragma once
/// What the differentiable ops share.
#include "train/autograd.h"
#include "train/op.h"

namespace rarefy::train {

/// One convolution or linear layer (no map).
struct ConvCall {
  const KernelMap* map = nullptr;
  Adjoint adjoint = {};
  std::int64_t rows = 0;  ///< of the output
};

/// Output of the node, a convolution of input 0 with parameter 0 and, if given, the bias in parameter 1; differentiable
/// with respect to all three.
at::Tensor convolve(const ForwardArgs& args, const ConvCall& call);

/// What each query attends to of one sample, [heads, queries, rows]: softmax(scores + log(sizes)), zeros where no row
/// has a size. @param sizes  [rows, 1], or undefined: one each
at::Tensor attention_probabilities(const at::Tensor& scores, const at::Tensor& sizes);
/// Gradient of the sizes, [rows, 1], of what is not attended to (size 0), too: there the limit from above.
/// @param away  gradient of the probabilities minus its mean under them, [heads, queries, rows]
at::Tensor sizes_gradient(const at::Tensor& scores, const at::Tensor& sizes, const at::Tensor& away);

/// Calls f(first, last) for ranges that cover [0, size), in parallel, with a partition that depends on size only.
void for_ranges(std::int64_t size, Executor& executor, FunctionRef<void(std::int64_t first, std::int64_t last)> f);

}  // namespace rarefy::train
