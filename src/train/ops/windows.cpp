#include "train/op.h"

namespace rarefy::train::ops {

TrainOp windows() { return no_gradient(); }

}  // namespace rarefy::train::ops
