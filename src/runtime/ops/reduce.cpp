#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp reduce() {
  RuntimeOp op;
  op.kind = "voxelize";
  op.run = [](const RunArgs& args) {
    const Reduction reduction = reduction_named(args.node->text("reduction"));
    reduce_to_voxels(args.index(args.node->inputs[1]), args.input(0), reduction, *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
