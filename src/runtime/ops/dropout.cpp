#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp concat();

/// Nothing is dropped at inference: a concatenation of one, which the plan places inside its output.
RuntimeOp dropout() { return concat(); }

}  // namespace rarefy::runtime::ops
