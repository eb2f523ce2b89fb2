#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp site_intersection() { return join_op(rarefy::intersect); }

}  // namespace rarefy::runtime::ops
