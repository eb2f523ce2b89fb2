#include "train/op.h"

namespace rarefy::train::ops {

TrainOp image_sites() { return no_gradient(); }

}  // namespace rarefy::train::ops
