#include <cmath>

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {

TrainOp l2_normalize() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = with_unit_columns(args.input(0));
    const double epsilon = args.node.number("epsilon");
    at::Tensor y = empty_matrix(x.size(0), x.size(1)), scale = empty_matrix(x.size(0), 1);
    const Matrix<float> in = matrix(x), out = matrix(y);
    for (std::int64_t r = 0; r < in.rows; ++r) {
      double square = 0.0;
      for (std::int64_t c = 0; c < in.cols; ++c) square += static_cast<double>(in(r, c)) * in(r, c);
      const double inverse = 1.0 / std::max(std::sqrt(square), epsilon);
      scale.data_ptr<float>()[r] = static_cast<float>(inverse);
      for (std::int64_t c = 0; c < in.cols; ++c) out(r, c) = static_cast<float>(in(r, c) * inverse);
    }
    return differentiable(y, {args.input(0)},
                          [scale, saved = y.detach()](const at::Tensor& gradient, const std::vector<bool>&) {
                            at::Tensor result = empty_matrix(saved.size(0), saved.size(1));
                            const Matrix<float> g = matrix(gradient), p = matrix(saved), gx = matrix(result);
                            for (std::int64_t r = 0; r < p.rows; ++r) {
                              double along = 0.0;
                              for (std::int64_t c = 0; c < p.cols; ++c) along += static_cast<double>(g(r, c)) * p(r, c);
                              for (std::int64_t c = 0; c < p.cols; ++c)
                                gx(r, c) = static_cast<float>((g(r, c) - along * p(r, c)) * scale.data_ptr<float>()[r]);
                            }
                            return std::vector<at::Tensor>{result};
                          });
  }};
}

}  // namespace rarefy::train::ops
