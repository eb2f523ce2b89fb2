#include "train/op.h"

namespace rarefy::train::ops {

TrainOp voxelize() { return no_gradient(); }

}  // namespace rarefy::train::ops
