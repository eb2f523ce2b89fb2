#include <algorithm>

#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp overlay() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto& index = args.index(args.node->inputs[2]).voxel_of_point;
    const auto x = args.input(0), z = args.input(1);
    const auto y = args.output(0);
    for_row_blocks(y.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int32_t place = index[static_cast<std::size_t>(r)];
        std::copy_n(place < 0 ? x.row(r) : z.row(place), y.cols, y.row(r));
      }
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
