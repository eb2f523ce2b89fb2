#include "runtime/shared/map_step.h"

namespace rarefy::runtime::ops {

RuntimeOp transpose_map() {
  RuntimeOp op;
  op.kind = "maps";
  op.prepare = prepare_map;
  op.run = [](const RunArgs& args) {
    KernelMap& map = args.map(args.node->outputs[0]);
    rarefy::transpose_map(args.map(args.node->inputs[0]), *args.executor, map);
    finish_map(args, map);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
