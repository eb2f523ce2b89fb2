#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp scale_rows() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto x = args.input(0), factors = args.input(1);
    const auto y = args.output(0);
    for_row_blocks(y.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const float factor = factors(r, 0);
        const float* from = x.row(r);
        float* to = y.row(r);
        for (std::int64_t c = 0; c < y.cols; ++c) to[c] = from[c] * factor;
      }
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
