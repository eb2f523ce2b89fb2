#pragma once
/// What convolutions and linear layers share at run time: weights with a folded batch norm, and the fused epilogue.
#include "runtime/op.h"

namespace rarefy::runtime {

/// Weights of a convolution, whose last axis is C_out, with the fused batch norm folded into them; first rounded to
/// `weight_bits` when the node has such.
struct FoldedWeights {
  std::vector<float> values;
  std::vector<float> bias;  ///< [C_out], or empty: none
};
FoldedWeights fold_batch_norm(const PrepareArgs& args);

/// Bias (empty: none), fused residual and activation of the step.
ConvEpilogue epilogue_of(const RunArgs& args, const std::vector<float>& bias);

/// Packs the node's weight [K, C_in, C_out] (or [C_in, C_out]) with the fused batch norm folded into it.
std::any prepare_conv(const PrepareArgs& args);
/// @param map  null for a linear layer
void run_conv(const RunArgs& args, const KernelMap* map);

}  // namespace rarefy::runtime
