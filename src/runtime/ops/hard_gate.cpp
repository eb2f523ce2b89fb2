#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp hard_gate() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto x = args.input(0);
    const auto y = args.output(0);
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t c = 0; c < x.cols; ++c) y(r, c) = x(r, c) > 0.0f ? 1.0f : 0.0f;
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
