#include <cmath>

#include "base/rng.h"
#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

/// x plus the difference of two Gumbel variables: a logistic one, log(u / (1 - u)).
at::Tensor with_noise(const at::Tensor& x, const Rng& numbers, Executor& executor) {
  at::Tensor y = empty_matrix(x.size(0), x.size(1));
  const float* in = x.data_ptr<float>();
  float* out = y.data_ptr<float>();
  for_ranges(x.numel(), executor, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::uint64_t bits = numbers.bits_at(static_cast<std::uint64_t>(i)) >> 11;
      const double u = (static_cast<double>(bits) + 0.5) * 0x1.0p-53;  // neither 0 nor 1
      out[i] = static_cast<float>(in[i] + std::log(u) - std::log1p(-u));
    }
  });
  return y;
}

}  // namespace

TrainOp hard_gate() {
  return {[](const ForwardArgs& args) {
    at::Tensor x = args.input(0).detach().contiguous();
    if (args.training && args.node.integer("noise") != 0)
      x = with_noise(x, Rng(args.random.seed, args.random.step, hash_name(args.node.name)), args.executor);
    const double temperature = args.node.number("temperature");
    return differentiable(x.gt(0).to(at::kFloat), {args.input(0)},
                          [x, temperature](const at::Tensor& gradient, const std::vector<bool>&) {
                            const at::Tensor s = at::sigmoid(x / temperature);
                            return std::vector<at::Tensor>{gradient * s * (1 - s) / temperature};
                          });
  }};
}

}  // namespace rarefy::train::ops
