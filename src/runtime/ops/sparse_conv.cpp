#include "runtime/shared/conv_step.h"

namespace rarefy::runtime::ops {

RuntimeOp sparse_conv() {
  RuntimeOp op;
  op.prepare = prepare_conv;
  op.run = [](const RunArgs& args) { run_conv(args, &args.map(args.node->inputs[1])); };
  op.fuses = true;
  return op;
}

}  // namespace rarefy::runtime::ops
