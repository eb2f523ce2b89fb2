#include "kernels/row_norm.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp magnitude() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) { row_magnitude(args.input(0), *args.executor, args.output(0)); };
  return op;
}

}  // namespace rarefy::runtime::ops
