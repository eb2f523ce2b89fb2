#include "graph/infer.h"
#include "runtime/shared/map_step.h"

namespace rarefy::runtime::ops {

RuntimeOp kernel_map() {
  RuntimeOp op;
  op.kind = "maps";
  op.prepare = prepare_map;
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const Coords& from = *args.space(node.inputs[0]).coords;
    const Coords& to = *args.space(node.inputs[1]).coords;
    KernelMap& map = args.map(node.outputs[0]);
    build_kernel_map(from, to, kernel_shape(node, from.dims), *args.executor, map);
    finish_map(args, map);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
