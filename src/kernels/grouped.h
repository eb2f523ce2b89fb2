#pragma once
/// Grouped convolution: channels are cut into groups that do not meet. The dense kernels run on column ranges of the
/// rows, in place: a wide group by itself, narrow ones several at a time with zeros between them, because what a pair
/// of rows costs beyond its products is that of a few dozen channels. Krizhevsky, Sutskever, Hinton, NeurIPS 2012,
/// section 3.2 (the split into two groups).
#include "kernels/conv.h"

namespace rarefy {

/// Packed weights of each range of columns, in order.
using GroupedWeights = std::vector<PackedWeights>;

/// @param weights  [K, C_in / groups, C_out] contiguous; output channel j belongs to group j / (C_out / groups)
/// @param in_channels, out_channels  of all groups together; multiples of `groups`
/// @throws ShapeError
void pack_grouped(const ConvVariant& variant, const float* weights, std::int64_t volume, std::int64_t in_channels,
                  std::int64_t out_channels, std::int64_t groups, WeightOrder order, GroupedWeights& out,
                  Executor& executor = serial_executor());

/// As conv_forward, range by range. Multiply-adds that count: pairs * C_in * C_out / groups. Allocates nothing. A NaN
/// or an infinity may reach the groups that share a range with its own.
void grouped_forward(Matrix<const float> x, const GroupedWeights& weights, const KernelMap* map,
                     const ConvEpilogue& epilogue, Executor& executor, Matrix<float> y);

/// As conv_weight_gradient; the result is [K, C_in / groups, C_out] contiguous, overwritten.
void grouped_weight_gradient(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y_gradient,
                             const KernelMap* map, std::int64_t volume, std::int64_t groups, Executor& executor,
                             float* weight_gradient);

}  // namespace rarefy
