#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp argmax() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto x = args.input(0);
    const auto y = args.output<std::uint8_t>(0);
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const float* row = x.row(r);
        std::int64_t best = 0;
        for (std::int64_t c = 1; c < x.cols; ++c)
          if (row[c] > row[best] || (row[best] != row[best] && row[c] == row[c])) best = c;
        y(r, 0) = static_cast<std::uint8_t>(best);
      }
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
