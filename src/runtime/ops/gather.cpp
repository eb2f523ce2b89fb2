#include <algorithm>
#include <cmath>

#include "runtime/elementwise.h"

namespace rarefy::runtime::ops {

RuntimeOp gather() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const auto& index = args.index(args.node->inputs[1]).voxel_of_point;
    const double fill = args.node->number("fill");
    if (args.view(args.node->inputs[0]).dtype == Dtype::f32) {
      gather_rows(index, args.input(0), static_cast<float>(fill), *args.executor, args.output(0));
      return;
    }
    const auto x = args.input<std::uint8_t>(0);
    const auto y = args.output<std::uint8_t>(0);
    const auto fill_byte = static_cast<std::uint8_t>(std::clamp(fill, 0.0, 255.0));
    for_row_blocks(y.rows, *args.executor, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t c = 0; c < y.cols; ++c) {
          const std::int32_t from = index[static_cast<std::size_t>(r)];
          y(r, c) = from < 0 ? fill_byte : x(from, c);
        }
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
