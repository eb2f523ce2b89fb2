#pragma once
/// Training a model from C++. Link rarefy_train (needs LibTorch at build time); this header needs the standard library
/// only.
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "rarefy/model.h"
#include "rarefy/session.h"

namespace rarefy::train {

/// How a Trainer learns.
struct TrainerOptions {
  std::string optimizer = "adamw";  ///< or "sgd"
  double learning_rate = 1e-3;
  double weight_decay = 0.01;
  double momentum = 0.9;          ///< sgd
  double clip = 10.0;             ///< largest gradient norm; 0 = no clipping
  double average = 0.0;           ///< decay of a moving average of the weights; 0 = none
  double cross_entropy = 1.0;     ///< factor of the cross entropy
  double lovasz = 0.0;            ///< factor of the Lovász-softmax loss
  std::string output = "logits";  ///< the graph output that is trained
  int threads = 1;
  std::uint64_t seed = 1;  ///< of dropout
};

/// Trains one model step by step. Same input, same bits, for one number of threads. Not thread-safe.
class Trainer {
 public:
  /// @throws UsageError (unknown output or optimiser), ShapeError (weights do not fit the graph)
  explicit Trainer(const Model& model, const TrainerOptions& options = {});
  ~Trainer();
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;

  /// One step on one batch; returns the loss before it.
  /// @param labels  classes, 255 = ignored: one per point where the graph has points as input (voxels take the most
  /// frequent
  ///                label of their points), else one per row of the sparse input, in the order it was given
  /// @throws UsageError, InputError, ShapeError
  double step(const Inputs& inputs, std::span<const std::uint8_t> labels);
  void set_learning_rate(double rate);
  /// The model with its present weights (the moving average when there is one).
  Model model() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rarefy::train
