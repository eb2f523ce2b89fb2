#include "train/op.h"

namespace rarefy::train::ops {

TrainOp interpolation() { return no_gradient(); }

}  // namespace rarefy::train::ops
