#pragma once
/// Attention within windows of an image, with a bias for every relative position. Forward and backward, fp32; same bits
/// for any executor, and a window's result does not depend on the others. Source: Liu et al., ICCV 2021 (Swin), eq. 4.
#include "kernels/attention.h"
#include "sparse/windows.h"

namespace rarefy {

/// What attends to what.
struct WindowAttentionInput {
  AttentionInput rows;                         ///< samples are windows of at most grid.window^2 tokens; no sizes
  std::span<const std::int32_t> token_of_row;  ///< [N] image * tokens + line * width + column
  WindowGrid grid;
  Matrix<const float> table;  ///< [(2w - 1)^2, heads]: bias of a step (dy, dx) is row (dy + w - 1) (2w - 1) + dx + w -
                              ///< 1, steps from key to query
};

/// y[i] = sum over the rows j of i's window of softmax_j(q_i . k_j / sqrt(d) + table[step from j to i]) v_j, per head.
/// @throws ShapeError naming what does not fit, before y is touched
void window_attention(cpu::Isa isa, const WindowAttentionInput& in, Executor& executor, AlignedBuffer& scratch,
                      Matrix<float> y);

/// Gradients of the same size as what they belong to; all are overwritten.
struct WindowAttentionGradients {
  Matrix<float> q, k, v, table;
};
/// Computes the probabilities again, window by window; nothing is kept from the forward pass.
void window_attention_gradient(cpu::Isa isa, const WindowAttentionInput& in, Matrix<const float> gy, Executor& executor,
                               AlignedBuffer& scratch, const WindowAttentionGradients& gradients);

}  // namespace rarefy
