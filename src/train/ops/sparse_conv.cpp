#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp sparse_conv() {
  return {[](const ForwardArgs& args) {
    const ValueId map = args.node.inputs[1];
    ConvCall call;
    call.map = &args.batch->map(map);
    call.adjoint = args.preparer.adjoint(*args.batch, map);
    call.rows = call.map->out_rows;
    return convolve(args, call);
  }};
}

}  // namespace rarefy::train::ops
