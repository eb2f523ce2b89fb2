#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp positions() {
  return {[](const ForwardArgs& args) {
    const auto& begin = args.batch->space(args.node.inputs[0]).sample_begin;
    at::Tensor y = empty_matrix(begin.empty() ? 0 : begin.back(), 1);
    for (std::size_t s = 1; s < begin.size(); ++s)
      for (std::int64_t r = begin[s - 1]; r < begin[s]; ++r)
        y.data_ptr<float>()[r] = static_cast<float>(r - begin[s - 1]);
    return y;
  }};
}

}  // namespace rarefy::train::ops
