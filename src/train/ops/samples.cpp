#include "train/op.h"

namespace rarefy::train::ops {

TrainOp samples() { return no_gradient(); }

}  // namespace rarefy::train::ops
