#include "train/op.h"

namespace rarefy::train::ops {

TrainOp window_rows() { return no_gradient(); }

}  // namespace rarefy::train::ops
