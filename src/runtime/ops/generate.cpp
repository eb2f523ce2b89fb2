#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp generate() { return site_op(rarefy::generate); }

}  // namespace rarefy::runtime::ops
