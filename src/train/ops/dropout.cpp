#include "base/rng.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// y = x where the element stays, divided by 1 - ratio, and 0 elsewhere; for x and for gradients alike.
at::Tensor drop(const at::Tensor& from, double ratio, const Rng& numbers, Executor& executor) {
  const at::Tensor x = from.contiguous();
  at::Tensor y = empty_matrix(x.size(0), x.size(1));
  const float* in = x.data_ptr<float>();
  float* out = y.data_ptr<float>();
  const auto scale = static_cast<float>(1.0 / (1.0 - ratio));
  const auto dropped_below = static_cast<std::uint64_t>(ratio * 0x1.0p53);
  for_ranges(x.numel(), executor, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i)
      out[i] = numbers.bits_at(static_cast<std::uint64_t>(i)) >> 11 < dropped_below ? 0.0f : in[i] * scale;
  });
  return y;
}

}  // namespace

TrainOp dropout() {
  return {[](const ForwardArgs& args) -> at::Tensor {
    const double ratio = args.node.number("ratio");
    if (!args.training || ratio == 0.0) return args.input(0);
    const Rng numbers(args.random.seed, args.random.step, hash_name(args.node.name));
    Executor* executor = &args.executor;
    return differentiable(drop(args.input(0).detach(), ratio, numbers, args.executor), {args.input(0)},
                          [=](const at::Tensor& gradient, const std::vector<bool>&) {
                            return std::vector<at::Tensor>{drop(gradient, ratio, numbers, *executor)};
                          });
  }};
}

}  // namespace rarefy::train::ops
