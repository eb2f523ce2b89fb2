#include "runtime/shared/conv_step.h"

namespace rarefy::runtime::ops {

RuntimeOp linear() {
  RuntimeOp op;
  op.prepare = prepare_conv;
  op.run = [](const RunArgs& args) { run_conv(args, nullptr); };
  op.fuses = true;
  return op;
}

}  // namespace rarefy::runtime::ops
