#include <cmath>

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

constexpr std::int64_t kBlockRows = 1024;

template <class F>
void for_rows(std::int64_t rows, Executor& executor, F f) {
  executor.parallel_for((rows + kBlockRows - 1) / kBlockRows, [&](std::int64_t block, int) {
    for (std::int64_t r = block * kBlockRows; r < std::min(rows, (block + 1) * kBlockRows); ++r) f(r);
  });
}

}  // namespace

TrainOp softmax() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = with_unit_columns(args.input(0));
    at::Tensor y = empty_matrix(x.size(0), x.size(1));
    const Matrix<float> in = matrix(x), out = matrix(y);
    for_rows(in.rows, args.executor, [&](std::int64_t r) {
      const float largest = *std::max_element(in.row(r), in.row(r) + in.cols);
      double sum = 0.0;
      for (std::int64_t c = 0; c < in.cols; ++c) sum += out(r, c) = std::exp(in(r, c) - largest);
      const auto scale = static_cast<float>(1.0 / sum);
      for (std::int64_t c = 0; c < in.cols; ++c) out(r, c) *= scale;
    });
    Executor* executor = &args.executor;
    return differentiable(y, {args.input(0)},
                          [executor, saved = y.detach()](const at::Tensor& gradient, const std::vector<bool>&) {
                            at::Tensor result = empty_matrix(saved.size(0), saved.size(1));
                            const Matrix<float> g = matrix(gradient), p = matrix(saved), gx = matrix(result);
                            for_rows(p.rows, *executor, [&](std::int64_t r) {
                              double mean = 0.0;
                              for (std::int64_t c = 0; c < p.cols; ++c) mean += static_cast<double>(g(r, c)) * p(r, c);
                              for (std::int64_t c = 0; c < p.cols; ++c)
                                gx(r, c) = static_cast<float>(p(r, c) * (g(r, c) - mean));
                            });
                            return std::vector<at::Tensor>{result};
                          });
  }};
}

}  // namespace rarefy::train::ops
