#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp transpose_map() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    rarefy::transpose_map(args.map(args.node->inputs[0]), *args.executor, args.map(args.node->outputs[0]));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
