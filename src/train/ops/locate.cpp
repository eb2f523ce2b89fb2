#include "train/op.h"

namespace rarefy::train::ops {

TrainOp locate() { return no_gradient(); }

}  // namespace rarefy::train::ops
