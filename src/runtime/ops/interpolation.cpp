#include "runtime/shared/positions.h"

namespace rarefy::runtime::ops {

RuntimeOp interpolation() {
  RuntimeOp op;
  op.kind = "maps";
  op.run = [](const RunArgs& args) {
    const Node& node = *args.node;
    const auto missing = node.text("missing") == "zero" ? MissingNeighbours::zero : MissingNeighbours::renormalise;
    make_interpolation(positions_of(args), *args.space(node.inputs[1]).coords, missing, *args.executor,
                       args.interpolation(node.outputs[0]));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
