#include <cmath>

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train {
namespace {

// NOLINTBEGIN: the expressions of the table name these without a namespace.
using std::erf;
using std::exp;
using std::expm1;
using std::log1p;
using std::tanh;
// NOLINTEND

/// y[i] = f(i) over contiguous memory.
template <class F>
at::Tensor map_elements(const at::Tensor& like, Executor& executor, F f) {
  at::Tensor y = empty_matrix(like.size(0), like.size(1));
  float* out = y.data_ptr<float>();
  for_ranges(like.numel(), executor, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) out[i] = f(i);
  });
  return y;
}

template <class Forward, class Derivative>
TrainOp unary(Forward forward, Derivative derivative) {
  return {[=](const ForwardArgs& args) {
    const at::Tensor x = args.input(0).contiguous();
    const float alpha = args.node.attributes.contains("alpha") ? static_cast<float>(args.node.number("alpha")) : 0.0f;
    const float* in = x.data_ptr<float>();
    const at::Tensor y = map_elements(x, args.executor, [=](std::int64_t i) { return forward(in[i], alpha); });
    Executor* executor = &args.executor;
    return differentiable(
        y, {args.input(0)}, [=, saved = y.detach()](const at::Tensor& gradient, const std::vector<bool>&) {
          const at::Tensor g = gradient.contiguous();
          const float *gs = g.data_ptr<float>(), *xs = x.data_ptr<float>(), *ys = saved.data_ptr<float>();
          return std::vector<at::Tensor>{
              map_elements(x, *executor, [=](std::int64_t i) { return gs[i] * derivative(xs[i], ys[i], alpha); })};
        });
  }};
}

template <class Forward, class DerivativeA, class DerivativeB>
TrainOp binary(Forward forward, DerivativeA derivative_a, DerivativeB derivative_b) {
  return {[=](const ForwardArgs& args) {
    const at::Tensor a = args.input(0).contiguous(), b = args.input(1).contiguous();
    const float *as = a.data_ptr<float>(), *bs = b.data_ptr<float>();
    const at::Tensor y = map_elements(a, args.executor, [=](std::int64_t i) { return forward(as[i], bs[i]); });
    Executor* executor = &args.executor;
    return differentiable(
        y, {args.input(0), args.input(1)}, [=](const at::Tensor& gradient, const std::vector<bool>& needed) {
          const at::Tensor g = gradient.contiguous();
          const float *gs = g.data_ptr<float>(), *p = a.data_ptr<float>(), *q = b.data_ptr<float>();
          std::vector<at::Tensor> result(2);
          if (needed[0])
            result[0] = map_elements(a, *executor, [=](std::int64_t i) { return gs[i] * derivative_a(p[i], q[i]); });
          if (needed[1])
            result[1] = map_elements(b, *executor, [=](std::int64_t i) { return gs[i] * derivative_b(p[i], q[i]); });
          return result;
        });
  }};
}

}  // namespace

std::map<std::string, TrainOp, std::less<>> elementwise_train_ops() {
  std::map<std::string, TrainOp, std::less<>> table;
#define RAREFY_UNARY(name, default_alpha, forward, derivative, doc)                                                   \
  table.emplace(#name, unary([]([[maybe_unused]] float x, [[maybe_unused]] float alpha) -> float { return forward; }, \
                             []([[maybe_unused]] float x, [[maybe_unused]] float y,                                   \
                                [[maybe_unused]] float alpha) -> float { return derivative; }));
#define RAREFY_BINARY(name, forward, derivative_a, derivative_b, doc)                                            \
  table.emplace(#name,                                                                                           \
                binary([](float a, float b) -> float { return forward; },                                        \
                       []([[maybe_unused]] float a, [[maybe_unused]] float b) -> float { return derivative_a; }, \
                       []([[maybe_unused]] float a, [[maybe_unused]] float b) -> float { return derivative_b; }));
#include "graph/elementwise.inc"
#undef RAREFY_UNARY
#undef RAREFY_BINARY
  return table;
}

}  // namespace rarefy::train
