#pragma once
/// Depthwise sparse convolution and its gradients on feature rows, fp32: each channel has its own K weights and meets
/// no other channel. Howard et al., "MobileNets", 2017, section 3.1, over a kernel map.
///
/// y[o] = act(sum over pairs (i, o, k): x[i] * w[k] + bias + residual[o]), products channel by channel. Memory bound:
/// it reads rows through the map and vectorises over channels. Same bits for any executor.
#include "kernels/conv.h"

namespace rarefy {

/// @param x        [N_in, C]; may be a column range of a wider matrix
/// @param weights  [K, C] contiguous
/// @param order    the input gradient is this function over the transposed map (forward and transposed are the same
///                 here), or over a submanifold map itself with transposed_flipped: offset k then takes w[K-1-k]
/// @param y        [N_out, C]; must not overlap x. May equal the residual.
/// Rows without pairs get the epilogue of zero. NaN and infinities pass through. Allocates nothing.
/// Multiply-adds: pairs * C. @throws ShapeError naming what does not fit, before y is touched; UnsupportedError when
/// this CPU lacks the variant's instructions.
void depthwise_forward(const ConvVariant& variant, Matrix<const float> x, const float* weights, WeightOrder order,
                       const KernelMap& map, const ConvEpilogue& epilogue, Executor& executor, Matrix<float> y);

/// Weight gradient: gw[k] = sum over pairs of x[i] * gy[o], channel by channel; [K, C] contiguous, overwritten.
/// @param map      the forward map
/// @param scratch  grows to what is needed
void depthwise_weight_gradient(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y_gradient,
                               const KernelMap& map, Executor& executor, AlignedBuffer& scratch,
                               float* weight_gradient);

}  // namespace rarefy
