#include "graph/box.h"
#include "runtime/op.h"

namespace rarefy::runtime::ops {

RuntimeOp to_dense() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return checked_box(args.graph, args.node); };
  op.run = [](const RunArgs& args) {
    const Coords& sites = *args.space(args.node->inputs[1]).coords;
    rarefy::to_dense(sites, std::any_cast<const Box&>(*args.state), args.input(0), *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
