#include "train/op.h"

namespace rarefy::train::ops {

TrainOp match_tokens() { return no_gradient(); }

}  // namespace rarefy::train::ops
