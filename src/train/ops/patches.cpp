#include "train/op.h"

namespace rarefy::train::ops {

TrainOp patches() { return no_gradient(); }

}  // namespace rarefy::train::ops
