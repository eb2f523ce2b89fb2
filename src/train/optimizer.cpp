#include "train/optimizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

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

namespace {

/// Values of one part: pieces of all parameters are shared among threads. Part of the definition of the norm's bits.
constexpr std::int64_t kPiece = 1 << 15;

struct Piece {
  std::size_t slot;
  std::int64_t begin, end;
};

template <class Sizes>
std::vector<Piece> pieces_of(std::size_t slots, const Sizes& size_of) {
  std::vector<Piece> pieces;
  for (std::size_t s = 0; s < slots; ++s) {
    const auto size = static_cast<std::int64_t>(size_of(s));
    for (std::int64_t at = 0; at < size; at += kPiece) pieces.push_back({s, at, std::min(size, at + kPiece)});
  }
  return pieces;
}

/// f(i, piece) for all pieces, in parallel.
template <class F>
void for_pieces(const std::vector<Piece>& pieces, Executor& executor, const F& f) {
  executor.parallel_for(static_cast<std::int64_t>(pieces.size()),
                        [&](std::int64_t i, int) { f(i, pieces[static_cast<std::size_t>(i)]); });
}

}  // namespace

void Optimizer::step(std::span<const ParameterSlot> slots, double rate, Executor& executor) {
  RAREFY_CHECK(slots.size() == first_.size(), UsageError, "the optimiser was made for {} parameters, got {}",
               first_.size(), slots.size());
  ++steps_;
  const auto pieces = pieces_of(slots.size(), [&](std::size_t s) { return slots[s].gradient.size(); });
  for_pieces(pieces, executor, [&](std::int64_t, const Piece& piece) {
    const ParameterSlot& slot = slots[piece.slot];
    if (options_.rule == Rule::sgd) {
      sgd(slot, piece.slot, piece.begin, piece.end, rate);
    } else {
      adamw(slot, piece.slot, piece.begin, piece.end, rate);
    }
  });
}

void Optimizer::sgd(const ParameterSlot& slot, std::size_t index, std::int64_t begin, std::int64_t end, double rate) {
  const auto decay = static_cast<float>(slot.decay ? options_.weight_decay : 0.0);
  const auto momentum = static_cast<float>(options_.momentum), lr = static_cast<float>(rate);
  float *value = slot.value.data(), *m = first_[index].data();
  const float* g = slot.gradient.data();
  for (std::int64_t i = begin; i < end; ++i) {
    const float gradient = g[i] + decay * value[i];
    m[i] = steps_ == 1 ? gradient : momentum * m[i] + gradient;
    value[i] -= lr * (options_.nesterov ? gradient + momentum * m[i] : m[i]);
  }
}

void Optimizer::adamw(const ParameterSlot& slot, std::size_t index, std::int64_t begin, std::int64_t end, double rate) {
  const auto& o = options_;
  const double correction1 = 1.0 - std::pow(o.beta1, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(o.beta2, static_cast<double>(steps_));
  const auto b1 = static_cast<float>(o.beta1), b2 = static_cast<float>(o.beta2),
             epsilon = static_cast<float>(o.epsilon);
  const auto step = static_cast<float>(rate / correction1), root = static_cast<float>(1.0 / std::sqrt(correction2));
  const auto keep = static_cast<float>(1.0 - rate * (slot.decay ? o.weight_decay : 0.0));
  float *value = slot.value.data(), *m = first_[index].data(), *v = second_[index].data();
  const float* g = slot.gradient.data();
  for (std::int64_t i = begin; i < end; ++i) {
    m[i] = b1 * m[i] + (1.0f - b1) * g[i];
    v[i] = b2 * v[i] + (1.0f - b2) * g[i] * g[i];
    value[i] = keep * value[i] - step * m[i] / (std::sqrt(v[i]) * root + epsilon);
  }
}

double clip_gradients(std::span<const std::span<float>> gradients, double largest, Executor& executor) {
  const auto pieces = pieces_of(gradients.size(), [&](std::size_t s) { return gradients[s].size(); });
  std::vector<double> sums(pieces.size());
  for_pieces(pieces, executor, [&](std::int64_t i, const Piece& piece) {
    const float* g = gradients[piece.slot].data();
    std::array<double, 8> lanes{};  // independent chains: one chain of additions would wait for each
    std::int64_t k = piece.begin;
    for (; k + 8 <= piece.end; k += 8)
      for (std::size_t l = 0; l < 8; ++l) {
        const double value = g[k + static_cast<std::int64_t>(l)];
        lanes[l] += value * value;
      }
    for (; k < piece.end; ++k) lanes[0] += static_cast<double>(g[k]) * static_cast<double>(g[k]);
    sums[static_cast<std::size_t>(i)] = std::accumulate(lanes.begin(), lanes.end(), 0.0);
  });
  const double norm = std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
  if (largest > 0.0 && norm > largest) {
    const auto factor = static_cast<float>(largest / norm);
    for_pieces(pieces, executor, [&](std::int64_t, const Piece& piece) {
      for (std::int64_t k = piece.begin; k < piece.end; ++k)
        gradients[piece.slot][static_cast<std::size_t>(k)] *= factor;
    });
  }
  return norm;
}

void move_averages(std::span<std::vector<float>> averages, std::span<const std::span<const float>> values, double decay,
                   Executor& executor) {
  const auto keep = static_cast<float>(decay);
  const auto pieces = pieces_of(averages.size(), [&](std::size_t s) { return averages[s].size(); });
  for_pieces(pieces, executor, [&](std::int64_t, const Piece& piece) {
    float* average = averages[piece.slot].data();
    const float* now = values[piece.slot].data();
    for (std::int64_t k = piece.begin; k < piece.end; ++k) average[k] = keep * average[k] + (1.0f - keep) * now[k];
  });
}

double cosine_schedule(double progress, double warm_up, double final_share) {
  progress = std::clamp(progress, 0.0, 1.0);
  if (progress < warm_up) return progress / warm_up;
  const double along = warm_up < 1.0 ? (progress - warm_up) / (1.0 - warm_up) : 1.0;
  return final_share + (1.0 - final_share) * 0.5 * (1.0 + std::cos(std::numbers::pi * along));
}

}  // namespace rarefy::train
