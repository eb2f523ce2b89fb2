#pragma once
/// What site_union and site_intersection share.
#include <string>

#include "graph/infer.h"
#include "rarefy/builder.h"

namespace rarefy {

/// Inputs a and b, outputs the sites and for each of them the row of a and of b, or -1.
OpDef site_join(std::string name, std::string doc);
/// Graphs over two sparse inputs whose features are added, multiplied or concatenated.
std::vector<OpExample> joined_examples(std::uint64_t seed, Sites sites);

}  // namespace rarefy
