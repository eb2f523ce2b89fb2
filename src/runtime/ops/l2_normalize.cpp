#include <cmath>

#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp l2_normalize() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto x = args.input(0);
    const auto y = args.output(0);
    const double epsilon = args.node->number("epsilon");
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        double square = 0.0;
        for (std::int64_t c = 0; c < x.cols; ++c) square += static_cast<double>(x(r, c)) * x(r, c);
        const double scale = 1.0 / std::max(std::sqrt(square), epsilon);
        for (std::int64_t c = 0; c < x.cols; ++c) y(r, c) = static_cast<float>(x(r, c) * scale);
      }
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
