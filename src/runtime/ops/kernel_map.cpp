#include "graph/infer.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp kernel_map() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const Coords& from = *args.space(node.inputs[0]).coords;
    const Coords& to = *args.space(node.inputs[1]).coords;
    build_kernel_map(from, to, kernel_shape(node, from.dims), *args.executor, args.map(node.outputs[0]));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
