#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

/// Labels have no gradient.
TrainOp argmax() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = with_unit_columns(args.input(0).detach());
    const Matrix<float> in = matrix(x);
    at::Tensor y = at::zeros({in.rows, 1}, at::kByte);
    std::uint8_t* label = y.data_ptr<std::uint8_t>();
    for (std::int64_t r = 0; r < in.rows; ++r) {
      const float* row = in.row(r);
      std::int64_t best = 0;
      for (std::int64_t c = 1; c < in.cols; ++c)
        if (row[c] > row[best] || (row[best] != row[best] && row[c] == row[c])) best = c;
      label[r] = static_cast<std::uint8_t>(best);
    }
    return y;
  }};
}

}  // namespace rarefy::train::ops
