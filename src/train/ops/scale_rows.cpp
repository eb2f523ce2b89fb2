#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp scale_rows() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = with_unit_columns(args.input(0)), factors = with_unit_columns(args.input(1));
    Executor* executor = &args.executor;
    // y = f x; gx = f g; gf = sum of g x.
    const auto scaled = [executor](Matrix<const float> a, Matrix<const float> f, Matrix<float> to) {
      for_ranges(a.rows, *executor, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t r = first; r < last; ++r)
          for (std::int64_t c = 0; c < a.cols; ++c) to(r, c) = a(r, c) * f(r, 0);
      });
    };
    at::Tensor y = empty_matrix(x.size(0), x.size(1));
    scaled(matrix(x), matrix(factors), matrix(y));
    return differentiable(
        y, {args.input(0), args.input(1)},
        [=, xs = x.detach(), fs = factors.detach()](const at::Tensor& gradient, const std::vector<bool>&) {
          std::vector<at::Tensor> result{empty_matrix(xs.size(0), xs.size(1)), empty_matrix(xs.size(0), 1)};
          const Matrix<float> g = matrix(gradient), values = matrix(xs), gf = matrix(result[1]);
          scaled(g, matrix(fs), matrix(result[0]));
          for_ranges(g.rows, *executor, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t r = first; r < last; ++r) {
              double sum = 0.0;
              for (std::int64_t c = 0; c < g.cols; ++c) sum += static_cast<double>(g(r, c)) * values(r, c);
              gf(r, 0) = static_cast<float>(sum);
            }
          });
          return result;
        });
  }};
}

}  // namespace rarefy::train::ops
