#include "graph/thinning_order.h"
#include "runtime/op.h"
#include "runtime/shared/site_step.h"

namespace rarefy::runtime::ops {

RuntimeOp thin() {
  RuntimeOp op;
  op.kind = "voxelize";
  op.run = [](const RunArgs& args) {
    static thread_local ThinRowsScratch scratch;
    const Node& node = *args.node;
    const Thinning wanted{.share = node.number("share"), .order = voxel_order_named(node.text("order"), node.name)};
    SpaceValue& out = args.space(node.outputs[0]);
    thin_rows(args.input(0), wanted, args.index(node.inputs[2]), scratch, args.index(node.outputs[1]),
              args.index(node.outputs[2]), out.own);
    settle(out);
  };
  return op;
}

}  // namespace rarefy::runtime::ops
