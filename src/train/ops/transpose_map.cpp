#include "train/op.h"

namespace rarefy::train::ops {

TrainOp transpose_map() { return no_gradient(); }

}  // namespace rarefy::train::ops
