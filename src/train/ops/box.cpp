#include "train/op.h"

namespace rarefy::train::ops {

TrainOp box() { return no_gradient(); }

}  // namespace rarefy::train::ops
