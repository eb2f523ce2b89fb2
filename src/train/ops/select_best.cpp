#include "train/op.h"

namespace rarefy::train::ops {

/// Which rows stay has no gradient; what flows through those that do is that of `gather`.
TrainOp select_best() { return no_gradient(); }

}  // namespace rarefy::train::ops
