#include <algorithm>

#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp class_token() {
  RuntimeOp op;
  op.prepare = [](const PrepareArgs& args) -> std::any { return args.weights.resolve(args.node.parameters[0]); };
  op.run = [](const RunArgs& args) {
    const float* token = std::any_cast<const Tensor&>(*args.state).as<float>().data();
    const auto& index = args.index(args.node->inputs[1]).voxel_of_point;
    const auto x = args.input(0);
    const auto y = args.output(0);
    for_row_blocks(y.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int32_t from = index[static_cast<std::size_t>(r)];
        std::copy_n(from < 0 ? token : x.row(from), y.cols, y.row(r));
      }
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
