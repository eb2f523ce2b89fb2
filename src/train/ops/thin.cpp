#include "train/op.h"

namespace rarefy::train::ops {

/// Which voxels stay has no gradient; what flows through those that do is that of `gather`.
TrainOp thin() { return no_gradient(); }

}  // namespace rarefy::train::ops
