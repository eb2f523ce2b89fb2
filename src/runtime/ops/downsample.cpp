#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp downsample() { return site_op(rarefy::downsample); }

}  // namespace rarefy::runtime::ops
