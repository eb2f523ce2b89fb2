#pragma once
/// Graph side of the element-wise table.
#include <vector>

#include "rarefy/graph.h"

namespace rarefy {

/// One OpDef per row of elementwise.inc.
std::vector<OpDef> elementwise_ops();

}  // namespace rarefy
