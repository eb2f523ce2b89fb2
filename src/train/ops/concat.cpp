#include "train/op.h"

namespace rarefy::train::ops {

TrainOp concat() {
  return {[](const ForwardArgs& args) {
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < args.node.inputs.size(); ++i) parts.push_back(args.input(i));
    return at::cat(parts, 1);
  }};
}

}  // namespace rarefy::train::ops
