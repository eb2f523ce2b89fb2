#include "train/op.h"

namespace rarefy::train::ops {

TrainOp generate() { return no_gradient(); }

}  // namespace rarefy::train::ops
