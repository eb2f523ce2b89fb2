#include "train/op.h"

namespace rarefy::train::ops {

TrainOp input_sparse() { return no_gradient(); }

}  // namespace rarefy::train::ops
