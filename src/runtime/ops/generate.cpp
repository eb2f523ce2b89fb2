#include "graph/infer.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp generate() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const SpaceValue& from = args.space(node.inputs[0]);
    SpaceValue& to = args.space(node.outputs[0]);
    rarefy::generate(*from.coords, kernel_shape(node, from.coords->dims), *args.executor, to.own);
    to.coords = &to.own;
    to.rows = to.own.rows();
    to.sample_begin.assign(to.own.batch_begin.begin(), to.own.batch_begin.end());
  };
  return op;
}

}  // namespace rarefy::runtime::ops
