#pragma once
/// Optimisers on plain memory, each value by itself: same input, same bits. Needs no LibTorch.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rarefy/executor.h"

namespace rarefy::train {

enum class Rule : std::uint8_t {
  adamw,  ///< Loshchilov and Hutter, ICLR 2019: weight decay apart from the gradient
  sgd,    ///< with momentum, Nesterov's or not; weight decay added to the gradient, as in LibTorch
};
/// @throws UsageError listing the names
Rule rule_from_name(std::string_view name);

struct OptimizerOptions {
  Rule rule = Rule::adamw;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  ///< AdamW
  double momentum = 0.9;                              ///< SGD
  bool nesterov = true;                               ///< SGD
  double weight_decay = 0.01;
};

/// One parameter in the caller's memory.
struct ParameterSlot {
  std::span<float> value;
  std::span<const float> gradient;  ///< empty: not touched in this step
  bool decay = true;                ///< weight decay applies
};

class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, std::span<const std::int64_t> sizes);
  /// One step at learning rate `rate`. Slots in the order of `sizes`. Same bits for any executor, as all here.
  void step(std::span<const ParameterSlot> slots, double rate, Executor& executor);
  std::int64_t steps() const { return steps_; }

  /// What a checkpoint must keep: first and second moments (SGD: velocity and nothing).
  std::vector<std::vector<float>>& first() { return first_; }
  std::vector<std::vector<float>>& second() { return second_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  void sgd(const ParameterSlot& slot, std::size_t index, std::int64_t begin, std::int64_t end, double rate);
  void adamw(const ParameterSlot& slot, std::size_t index, std::int64_t begin, std::int64_t end, double rate);

  OptimizerOptions options_;
  std::int64_t steps_ = 0;
  std::vector<std::vector<float>> first_, second_;
};

/// Scales all gradients so that their common Euclidean norm is at most `largest` (0 = never); returns the norm before.
double clip_gradients(std::span<const std::span<float>> gradients, double largest, Executor& executor);

/// average = decay * average + (1 - decay) * value, for each of them.
void move_averages(std::span<std::vector<float>> averages, std::span<const std::span<const float>> values, double decay,
                   Executor& executor);

/// Linear warm-up to 1, then half a cosine down to `final_share`. `progress` and `warm_up` are shares of the run, 0..1.
double cosine_schedule(double progress, double warm_up, double final_share);

}  // namespace rarefy::train
