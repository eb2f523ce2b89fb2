#include "graph/example.h"
#include "graph/site_join.h"

namespace rarefy::ops {

OpDef site_union() {
  OpDef op = site_join("site_union",
                       "Sites of either space; where features of different spaces are added or joined, missing rows "
                       "count as zero. Choy et al., CVPR 2019.");
  op.examples = [](std::uint64_t seed) { return joined_examples(seed, Sites::united); };
  return op;
}

}  // namespace rarefy::ops
