#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp prelu() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return args.weights.resolve(args.node.parameters[0]); };
  op.run = [](const RunArgs& args) {
    const float* slope = std::any_cast<const Tensor&>(*args.state).as<float>().data();
    const auto x = args.input(0);
    const auto y = args.output(0);
    for_row_blocks(x.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t c = 0; c < x.cols; ++c) y(r, c) = x(r, c) > 0.0f ? x(r, c) : slope[c] * x(r, c);
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
