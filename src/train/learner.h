#pragma once
/// One model while it learns: forward, loss, backward, clipping, optimiser, moving average. What a checkpoint keeps.
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rarefy/model.h"
#include "rarefy/tuning.h"
#include "train/losses.h"
#include "train/optimizer.h"
#include "train/prepared.h"

namespace rarefy::train {

struct LearnerOptions {
  OptimizerOptions optimizer;
  LossOptions loss;
  double clip = 10.0;      ///< largest norm of all gradients together; 0 = no clipping
  double average = 0.999;  ///< decay of the moving average of the weights; 0 = none
  std::string output = "logits";
  std::uint64_t seed = 1;                     ///< of dropout
  std::shared_ptr<const Tuning> tuning = {};  ///< of `rarefy tune --training`; part of what decides the bits
};

struct StepResult {
  LossValue loss;
  double gradient_norm = 0.0;
  std::vector<std::uint8_t> predictions;  ///< [rows] largest logit per row
  double forward_ms = 0.0, loss_ms = 0.0, backward_ms = 0.0, update_ms = 0.0;
};

/// Not thread-safe; made and used in one thread. Hides LibTorch: this header includes none of it.
class Learner {
 public:
  /// @param executor  must outlive the learner; from make_torch_executor
  Learner(const Model& model, const LearnerOptions& options, Executor& executor);
  ~Learner();

  /// Forward and backward on one batch and one step of the optimiser at `rate`.
  /// @param labels  one per row of the output: classes or 255
  StepResult step(const std::shared_ptr<const Prepared>& batch, std::span<const std::uint8_t> labels, double rate);

  const Preparer& preparer() const;
  std::int64_t steps() const;
  /// The weights as they are.
  Model model() const;
  /// The moving average (the weights themselves when there is none).
  Model averaged() const;

  /// Everything that the next steps depend on, by name: weights, moments, average, number of steps.
  using State = std::map<std::string, std::vector<float>>;
  State state() const;
  /// @throws InputError naming what is missing or has another size
  void restore(const State& state, std::int64_t steps, const std::string& where);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rarefy::train
