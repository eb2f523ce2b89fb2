#include "graph/example.h"
#include "graph/site_join.h"

namespace rarefy::ops {

OpDef site_intersection() {
  OpDef op = site_join(
      "site_intersection",
      "Sites that both spaces have; where features of different spaces are multiplied. Choy et al., CVPR 2019.");
  op.examples = [](std::uint64_t seed) { return joined_examples(seed, Sites::common); };
  return op;
}

}  // namespace rarefy::ops
