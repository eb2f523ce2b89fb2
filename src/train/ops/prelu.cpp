#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

constexpr std::int64_t kBlockRows = 1024;

template <class F>
void for_blocks(std::int64_t rows, Executor& executor, F f) {
  executor.parallel_for((rows + kBlockRows - 1) / kBlockRows, [&](std::int64_t block, int) {
    for (std::int64_t r = block * kBlockRows; r < std::min(rows, (block + 1) * kBlockRows); ++r) f(block, r);
  });
}

/// Sums of g x over the rows where x is not positive, per block of rows first, so that threads do not matter.
at::Tensor slope_gradient(Matrix<const float> x, Matrix<const float> g, Executor& executor) {
  const std::int64_t blocks = (x.rows + kBlockRows - 1) / kBlockRows;
  std::vector<double> partial(static_cast<std::size_t>(blocks * x.cols), 0.0);
  for_blocks(x.rows, executor, [&](std::int64_t block, std::int64_t r) {
    for (std::int64_t c = 0; c < x.cols; ++c)
      if (!(x(r, c) > 0.0f))
        partial[static_cast<std::size_t>(block * x.cols + c)] += static_cast<double>(g(r, c)) * x(r, c);
  });
  at::Tensor result = at::empty({x.cols}, at::kFloat);
  for (std::int64_t c = 0; c < x.cols; ++c) {
    double sum = 0.0;
    for (std::int64_t b = 0; b < blocks; ++b) sum += partial[static_cast<std::size_t>(b * x.cols + c)];
    result.data_ptr<float>()[c] = static_cast<float>(sum);
  }
  return result;
}

/// factor where x is positive, factor times the channel's slope elsewhere; of x itself, or of a gradient.
at::Tensor apply(Matrix<const float> x, Matrix<const float> factor, const at::Tensor& slope, Executor& executor) {
  at::Tensor result = empty_matrix(x.rows, x.cols);
  const Matrix<float> y = matrix(result);
  const float* s = slope.data_ptr<float>();
  for_blocks(x.rows, executor, [&](std::int64_t, std::int64_t r) {
    for (std::int64_t c = 0; c < x.cols; ++c) y(r, c) = x(r, c) > 0.0f ? factor(r, c) : s[c] * factor(r, c);
  });
  return result;
}

}  // namespace

TrainOp prelu() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = with_unit_columns(args.input(0)), slope = args.parameters[0].contiguous();
    Executor* executor = &args.executor;
    return differentiable(apply(matrix(x), matrix(x), slope, args.executor), {args.input(0), args.parameters[0]},
                          [=](const at::Tensor& gradient, const std::vector<bool>&) {
                            return std::vector<at::Tensor>{apply(matrix(x), matrix(gradient), slope, *executor),
                                                           slope_gradient(matrix(x), matrix(gradient), *executor)};
                          });
  }};
}

}  // namespace rarefy::train::ops
