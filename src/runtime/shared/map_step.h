#pragma once
/// What steps that make kernel maps share: they also make what the dataflows of the map's layers need.
#include "runtime/op.h"

namespace rarefy::runtime {

/// The layers on real numbers that read the map of this node.
std::any prepare_map(const PrepareArgs& args);
/// Sorts the map's tiles where a layer runs stationary, or where the cost model expects that to pay. Training gets maps
/// without tiles.
void finish_map(const RunArgs& args, KernelMap& map);

}  // namespace rarefy::runtime
