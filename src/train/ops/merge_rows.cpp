#include "kernels/token_merge.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// With S the sum of the sizes that became m: dy/dx_i = s_i / S, dy/ds_i = (x_i - y) / S.
struct Gradient {
  std::shared_ptr<const Prepared> batch;
  const Voxels* merged;
  at::Tensor x, sizes, y;

  std::vector<at::Tensor> operator()(const at::Tensor& gradient, const std::vector<bool>&) const {
    std::vector<at::Tensor> result{empty_matrix(x.size(0), x.size(1)), empty_matrix(x.size(0), 1)};
    const Matrix<float> g = matrix(gradient), xs = matrix(x), s = matrix(sizes), ys = matrix(y);
    const Matrix<float> gx = matrix(result[0]), gs = matrix(result[1]);
    std::vector<double> total(static_cast<std::size_t>(ys.rows), 0.0);
    for (std::int64_t r = 0; r < xs.rows; ++r) total[at(r)] += s(r, 0);
    for (std::int64_t r = 0; r < xs.rows; ++r) {
      const std::size_t m = at(r);
      const double scale = total[m] == 0.0 ? 0.0 : 1.0 / total[m];
      double sum = 0.0;
      for (std::int64_t c = 0; c < xs.cols; ++c) {
        const double from = g(static_cast<std::int64_t>(m), c);
        gx(r, c) = static_cast<float>(from * s(r, 0) * scale);
        sum += from * (static_cast<double>(xs(r, c)) - ys(static_cast<std::int64_t>(m), c));
      }
      gs(r, 0) = static_cast<float>(sum * scale);
    }
    return result;
  }
  std::size_t at(std::int64_t row) const {
    return static_cast<std::size_t>(merged->voxel_of_point[static_cast<std::size_t>(row)]);
  }
};

}  // namespace

TrainOp merge_rows() {
  return {[](const ForwardArgs& args) {
    const Voxels* merged = &args.batch->index(args.node.inputs[2]);
    const at::Tensor x = with_unit_columns(args.input(0)), sizes = with_unit_columns(args.input(1));
    at::Tensor y = empty_matrix(merged->voxels(), x.size(1));
    rarefy::merge_rows(*merged, matrix(x), matrix(sizes), args.executor, matrix(y));
    return differentiable(y, {args.input(0), args.input(1)},
                          Gradient{args.batch, merged, x.detach(), sizes.detach(), y.detach()});
  }};
}

}  // namespace rarefy::train::ops
