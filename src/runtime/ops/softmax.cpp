#include <cmath>

#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp softmax() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto x = args.input(0);
    const auto y = args.output(0);
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const float* from = x.row(r);
        float* to = y.row(r);
        const float largest = *std::max_element(from, from + x.cols);
        double sum = 0.0;
        for (std::int64_t c = 0; c < x.cols; ++c) sum += to[c] = std::exp(from[c] - largest);
        const auto scale = static_cast<float>(1.0 / sum);
        for (std::int64_t c = 0; c < x.cols; ++c) to[c] *= scale;
      }
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
