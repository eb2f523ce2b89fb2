#pragma once
/// The residual blocks of a network: what may be left out for some of its voxels, because a shortcut leads around it.
#include <cstdint>
#include <string>
#include <vector>

#include "rarefy/graph.h"

namespace rarefy::compress {

/// y = activation(branch(x) + shortcut(x)) with all rows on the space of x. Source: He et al., CVPR 2016.
struct ResidualBlock {
  std::string name;                    ///< of its layers without their last part: "down1.res1"
  std::string stage;                   ///< the name of the blocks that follow each other over one space: "down1"
  ValueId x = -1, y = -1;              ///< what it reads and makes
  std::vector<std::int32_t> branch;    ///< nodes from x to the sum, in order; at least one is a convolution
  std::vector<std::int32_t> shortcut;  ///< likewise; none: the identity. No node looks at other rows
  std::int32_t add = -1;
  std::int32_t activation = -1;  ///< node, or -1
};

/// In the order of the graph. Values between x and y have no other reader and are no outputs. Convolutions of the
/// branch are submanifold or the like: from the space of x to itself.
std::vector<ResidualBlock> residual_blocks(const Graph& graph);

}  // namespace rarefy::compress
