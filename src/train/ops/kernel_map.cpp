#include "train/op.h"

namespace rarefy::train::ops {

TrainOp kernel_map() { return no_gradient(); }

}  // namespace rarefy::train::ops
