#include "train/op.h"

namespace rarefy::train::ops {

TrainOp downsample() { return no_gradient(); }

}  // namespace rarefy::train::ops
