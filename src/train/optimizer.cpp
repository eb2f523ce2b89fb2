#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace rarefy::train {

Rule rule_from_name(std::string_view name) {
  if (name == "adamw") return Rule::adamw;
  RAREFY_CHECK(name == "sgd", UsageError, "there is no optimiser '{}'; known are adamw and sgd", name);
  return Rule::sgd;
}

Optimizer::Optimizer(const OptimizerOptions& options, std::span<const std::int64_t> sizes) : options_(options) {
  for (const std::int64_t size : sizes) {
    first_.emplace_back(static_cast<std::size_t>(size), 0.0f);
    second_.emplace_back(options.rule == Rule::adamw ? static_cast<std::size_t>(size) : 0, 0.0f);
  }
}

void Optimizer::step(std::span<const ParameterSlot> slots, double rate) {
  RAREFY_CHECK(slots.size() == first_.size(), UsageError, "the optimiser was made for {} parameters, got {}",
               first_.size(), slots.size());
  ++steps_;
  const auto& o = options_;
  const double correction1 = 1.0 - std::pow(o.beta1, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(o.beta2, static_cast<double>(steps_));
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const ParameterSlot& slot = slots[s];
    if (slot.gradient.empty()) continue;
    const auto decay = static_cast<float>(slot.decay ? o.weight_decay : 0.0);
    float* value = slot.value.data();
    float* m = first_[s].data();
    const auto size = static_cast<std::int64_t>(slot.value.size());
    const float* g = slot.gradient.data();
    if (o.rule == Rule::sgd) {
      const auto momentum = static_cast<float>(o.momentum), lr = static_cast<float>(rate);
      for (std::int64_t i = 0; i < size; ++i) {
        const float gradient = g[i] + decay * value[i];
        m[i] = steps_ == 1 ? gradient : momentum * m[i] + gradient;
        value[i] -= lr * (o.nesterov ? gradient + momentum * m[i] : m[i]);
      }
      continue;
    }
    float* v = second_[s].data();
    const auto b1 = static_cast<float>(o.beta1), b2 = static_cast<float>(o.beta2),
               epsilon = static_cast<float>(o.epsilon);
    const auto step = static_cast<float>(rate / correction1), root = static_cast<float>(1.0 / std::sqrt(correction2));
    const auto keep = static_cast<float>(1.0 - rate * static_cast<double>(decay));
    for (std::int64_t i = 0; i < size; ++i) {
      m[i] = b1 * m[i] + (1.0f - b1) * g[i];
      v[i] = b2 * v[i] + (1.0f - b2) * g[i] * g[i];
      value[i] = keep * value[i] - step * m[i] / (std::sqrt(v[i]) * root + epsilon);
    }
  }
}

double clip_gradients(std::span<const std::span<float>> gradients, double largest) {
  double sum = 0.0;
  for (const auto& gradient : gradients)
    for (const float g : gradient) sum += static_cast<double>(g) * static_cast<double>(g);
  const double norm = std::sqrt(sum);
  if (largest > 0.0 && norm > largest) {
    const auto factor = static_cast<float>(largest / norm);
    for (const auto& gradient : gradients)
      for (float& g : gradient) g *= factor;
  }
  return norm;
}

double cosine_schedule(double progress, double warm_up, double final_share) {
  progress = std::clamp(progress, 0.0, 1.0);
  if (progress < warm_up) return progress / warm_up;
  const double along = warm_up < 1.0 ? (progress - warm_up) / (1.0 - warm_up) : 1.0;
  return final_share + (1.0 - final_share) * 0.5 * (1.0 + std::cos(std::numbers::pi * along));
}

}  // namespace rarefy::train
