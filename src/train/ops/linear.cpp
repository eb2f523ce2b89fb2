#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp linear() {
  return {[](const ForwardArgs& args) { return convolve(args, {.rows = args.input(0).size(0)}); }};
}

}  // namespace rarefy::train::ops
