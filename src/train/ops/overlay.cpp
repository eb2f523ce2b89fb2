#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// The gradient of x: that of y but for the rows that z covers.
at::Tensor uncovered(const at::Tensor& gradient, const Voxels& index, Executor& executor) {
  at::Tensor gx = empty_matrix(gradient.size(0), gradient.size(1));
  const Matrix<const float> g = matrix(gradient);
  const Matrix<float> to = matrix(gx);
  for_ranges(g.rows, executor, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t r = first; r < last; ++r) {
      const bool covered = index.voxel_of_point[static_cast<std::size_t>(r)] >= 0;
      for (std::int64_t c = 0; c < g.cols; ++c) to(r, c) = covered ? 0.0f : g(r, c);
    }
  });
  return gx;
}

}  // namespace

TrainOp overlay() {
  return {[](const ForwardArgs& args) {
    const Voxels* index = &args.batch->index(args.node.inputs[2]);
    const at::Tensor x = with_unit_columns(args.input(0)), z = with_unit_columns(args.input(1));
    const std::int64_t rows = x.size(0), cols = x.size(1), kept = z.size(0);
    at::Tensor y = empty_matrix(rows, cols);
    const Matrix<const float> from_x = matrix(x), from_z = matrix(z);
    const Matrix<float> to = matrix(y);
    for_ranges(rows, args.executor, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t r = first; r < last; ++r) {
        const std::int32_t place = index->voxel_of_point[static_cast<std::size_t>(r)];
        std::copy_n(place < 0 ? from_x.row(r) : from_z.row(place), cols, to.row(r));
      }
    });
    Executor* executor = &args.executor;
    return differentiable(
        y, {args.input(0), args.input(1)},
        [batch = args.batch, index, kept, cols, executor](const at::Tensor& gradient, const std::vector<bool>&) {
          at::Tensor gz = empty_matrix(kept, cols);
          gather_rows_gradient(*index, matrix(gradient), *executor, matrix(gz));
          return std::vector<at::Tensor>{uncovered(gradient, *index, *executor), gz};
        });
  }};
}

}  // namespace rarefy::train::ops
