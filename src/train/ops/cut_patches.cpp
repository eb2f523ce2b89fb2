#include "runtime/patches.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

template <class F>
void for_all(const PatchGrid& grid, std::int64_t rows, std::int64_t channels, Executor& executor, F f) {
  executor.parallel_for(rows, [&](std::int64_t r, int) {
    runtime::for_patch_columns(grid, r / grid.patches(), r % grid.patches(), channels, f);
  });
}

}  // namespace

TrainOp cut_patches() {
  return {[](const ForwardArgs& args) {
    const PatchGrid grid = patch_grid(args.node);
    const at::Tensor x = with_unit_columns(args.input(0));
    const std::int64_t rows = args.batch->space(args.node.inputs[1]).rows, channels = x.size(1), pixels = x.size(0);
    at::Tensor y = empty_matrix(rows, channels * grid.patch * grid.patch);
    const Matrix<float> from = matrix(x), to = matrix(y);
    for_all(grid, rows, channels, args.executor,
            [&](std::int64_t pixel, std::int64_t c, std::int64_t row, std::int64_t column) {
              to(row, column) = pixel < 0 ? 0.0f : from(pixel, c);
            });
    Executor* executor = &args.executor;
    return differentiable(y, {args.input(0)}, [=](const at::Tensor& gradient, const std::vector<bool>&) {
      at::Tensor result = empty_matrix(pixels, channels);
      const Matrix<float> g = matrix(gradient), gx = matrix(result);
      for_all(grid, rows, channels, *executor,
              [&](std::int64_t pixel, std::int64_t c, std::int64_t row, std::int64_t column) {
                if (pixel >= 0) gx(pixel, c) = g(row, column);
              });
      return std::vector<at::Tensor>{result};
    });
  }};
}

}  // namespace rarefy::train::ops
