#include "base/check.h"
#include "runtime/patches.h"

namespace rarefy::runtime::ops {

RuntimeOp cut_patches() {
  RuntimeOp op;
  op.run = [](const RunArgs& args) {
    const PatchGrid grid = patch_grid(*args.node);
    const auto x = args.input(0);
    const auto y = args.output(0);
    RAREFY_CHECK(x.rows * grid.patches() == y.rows * grid.pixels(), ShapeError,
                 "node '{}' (cut_patches): {} pixels make no {} patches of {} x {} images", args.node->name, x.rows,
                 y.rows, grid.height, grid.width);
    args.executor->parallel_for(y.rows, [&](std::int64_t r, int) {
      for_patch_columns(grid, r / grid.patches(), r % grid.patches(), x.cols,
                        [&](std::int64_t pixel, std::int64_t c, std::int64_t row, std::int64_t column) {
                          y(row, column) = pixel < 0 ? 0.0f : x(pixel, c);
                        });
    });
  };
  return op;
}

}  // namespace rarefy::runtime::ops
