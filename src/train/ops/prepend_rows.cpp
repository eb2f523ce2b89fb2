#include "train/op.h"

namespace rarefy::train::ops {

TrainOp prepend_rows() { return no_gradient(); }

}  // namespace rarefy::train::ops
