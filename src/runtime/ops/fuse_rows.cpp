#include "kernels/token_merge.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp fuse_rows() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    rarefy::fuse_rows(args.index(args.node->inputs[2]), args.index(args.node->inputs[3]), args.input(0), args.input(1),
                      *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
