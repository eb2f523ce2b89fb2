#include "train/op.h"

namespace rarefy::train::ops {

TrainOp site_union() { return no_gradient(); }

}  // namespace rarefy::train::ops
