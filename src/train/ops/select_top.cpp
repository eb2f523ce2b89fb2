#include "train/op.h"

namespace rarefy::train::ops {

TrainOp select_top() { return no_gradient(); }

}  // namespace rarefy::train::ops
