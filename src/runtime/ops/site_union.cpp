#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp site_union() { return join_op(rarefy::unite); }

}  // namespace rarefy::runtime::ops
