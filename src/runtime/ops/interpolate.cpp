#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp interpolate() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    rarefy::interpolate(args.interpolation(args.node->inputs[1]), args.input(0), *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
