#include "kernels/pool.h"
#include "runtime/shared/samples.h"

namespace rarefy::runtime::ops {

RuntimeOp broadcast() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const SpaceValue& rows = args.space(args.node->inputs[1]);
    require_samples(*args.node, rows, args.space_of(args.node->inputs[0]));
    broadcast_samples(args.input(0), rows.sample_begin, Share::whole, *args.executor, args.output(0));
  };
  return op;
}

}  // namespace rarefy::runtime::ops
