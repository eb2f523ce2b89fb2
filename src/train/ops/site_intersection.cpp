#include "train/op.h"

namespace rarefy::train::ops {

TrainOp site_intersection() { return no_gradient(); }

}  // namespace rarefy::train::ops
