#include "graph/images/resize.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp resize_grid() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    rarefy::resize_grid(resize_of(*args.node), args.input(0), *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
