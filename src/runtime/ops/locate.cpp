#include "runtime/shared/positions.h"

namespace rarefy::runtime::ops {

RuntimeOp locate() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    rarefy::locate(positions_of(args), *args.space(node.inputs[1]).coords, *args.executor, args.index(node.outputs[0]));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
