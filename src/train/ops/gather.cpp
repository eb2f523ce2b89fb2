#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

at::Tensor gather_labels(const at::Tensor& x, const Voxels& voxels, double fill) {
  const auto points = static_cast<std::int64_t>(voxels.voxel_of_point.size());
  at::Tensor y = at::empty({points, x.size(1)}, at::kByte);
  const at::Tensor from = x.contiguous();
  const std::int64_t cols = x.size(1);
  const std::uint8_t* source = from.data_ptr<std::uint8_t>();
  std::uint8_t* target = y.data_ptr<std::uint8_t>();
  for (std::int64_t p = 0; p < points; ++p) {
    const std::int64_t row = voxels.voxel_of_point[static_cast<std::size_t>(p)];
    for (std::int64_t c = 0; c < cols; ++c)
      target[p * cols + c] = row < 0 ? static_cast<std::uint8_t>(fill) : source[row * cols + c];
  }
  return y;
}

}  // namespace

TrainOp gather() {
  return {[](const ForwardArgs& args) {
    const Voxels* voxels = &args.batch->index(args.node.inputs[1]);
    const double fill = args.node.number("fill");
    if (args.input(0).scalar_type() == at::kByte) return gather_labels(args.input(0), *voxels, fill);
    const at::Tensor x = with_unit_columns(args.input(0));
    at::Tensor y = empty_matrix(static_cast<std::int64_t>(voxels->voxel_of_point.size()), x.size(1));
    gather_rows(voxels->voxel_of_point, matrix(x), static_cast<float>(fill), args.executor, matrix(y));
    Executor* executor = &args.executor;
    const std::int64_t rows = x.size(0), cols = x.size(1);
    return differentiable(
        y, {args.input(0)},
        [batch = args.batch, voxels, rows, cols, executor](const at::Tensor& gradient, const std::vector<bool>&) {
          at::Tensor gx = empty_matrix(rows, cols);
          gather_rows_gradient(*voxels, matrix(gradient), *executor, matrix(gx));
          return std::vector<at::Tensor>{gx};
        });
  }};
}

}  // namespace rarefy::train::ops
