#pragma once
/// What sparse_conv and linear share at run time: packed weights with a folded batch norm, and the fused epilogue.
#include "runtime/op.h"

namespace rarefy::runtime {

/// Packs the node's weight [K, C_in, C_out] (or [C_in, C_out]) with the fused batch norm folded into it.
std::any prepare_conv(const PrepareArgs& args);
/// @param map  null for a linear layer
void run_conv(const RunArgs& args, const KernelMap* map);

}  // namespace rarefy::runtime
