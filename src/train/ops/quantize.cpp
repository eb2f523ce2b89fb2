#include <cmath>

#include "train/op.h"
#include "train/ops_common.h"

namespace rarefy::train::ops {
namespace {

struct Limits {
  float low, high;
};

Limits limits_of(const Node& node) {
  const auto bits = static_cast<int>(node.integer("bits"));
  if (node.integer("has_sign") == 0) return {0.0f, static_cast<float>((1 << bits) - 1)};
  const auto most = static_cast<float>((1 << (bits - 1)) - 1);
  return {-most, most};
}

}  // namespace

/// Rounded forward; backward as if not, within the range (straight-through). The gradient of the scale is that of LSQ,
/// Esser et al., ICLR 2020, equations 3 and section 2.2: times 1 / sqrt(values * most steps).
TrainOp quantize() {
  return {[](const ForwardArgs& args) {
    const at::Tensor x = args.input(0), scale = args.parameters[0];
    const float s = std::max(scale.item<float>(), 1e-12f);
    const Limits limits = limits_of(args.node);
    const at::Tensor steps = at::mul(x.detach(), 1.0f / s);
    const at::Tensor stored = at::round(at::clamp(steps, limits.low, limits.high));
    const double share = 1.0 / std::sqrt(std::max<double>(1.0, static_cast<double>(x.numel()) * limits.high));
    return differentiable(at::mul(stored, s), {args.input(0), scale},
                          [steps, stored, limits, share](const at::Tensor& gradient, const std::vector<bool>& needed) {
                            std::vector<at::Tensor> result(2);
                            const at::Tensor inside = at::logical_and(steps >= limits.low, steps <= limits.high);
                            if (needed[0]) result[0] = at::mul(gradient, inside);
                            if (needed[1]) {
                              const at::Tensor slope = at::where(inside, stored - steps, stored);
                              result[1] =
                                  (at::sum(at::mul(gradient, slope), at::kDouble) * share).to(at::kFloat).reshape({1});
                            }
                            return result;
                          });
  }};
}

}  // namespace rarefy::train::ops
