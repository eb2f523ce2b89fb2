#pragma once
/// A whole training run on labelled scans: from folders to a model file, with checkpoints in between.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/augment/augment.h"
#include "rarefy/model.h"
#include "train/curve.h"
#include "train/learner.h"

namespace rarefy::train {

struct RunSettings {
  std::vector<std::string> data;        ///< folders to train on
  std::vector<std::string> validation;  ///< folders of held-out scans; never trained on
  std::string output;                   ///< model file; the curve goes beside it as .csv and .svg
  std::string checkpoint;               ///< file; empty = none
  bool resume = true;                   ///< go on from the checkpoint when there is one
  std::int64_t steps = 1000;
  double time_budget = 0.0;  ///< seconds; > 0: the schedule follows the clock, and the run ends when the time is over
  int scans_per_batch = 1;
  double rate = 3e-3, warm_up = 0.05,
         final_rate = 0.01;     ///< largest learning rate; share of the run; share of the largest
  bool balance_classes = true;  ///< cross entropy weighted with 1 / sqrt(share of the class)
  LearnerOptions learner;
  AugmentOptions augment;
  std::uint64_t seed = 1;
  int threads = 1;
  std::int64_t checkpoint_every = 100;  ///< steps
  std::int64_t report_every = 20;       ///< steps of one row of the curve
  std::int64_t validate_every = 0;      ///< steps; 0 = at the end only
  std::int64_t validation_scans = 30;
};

/// One progress report.
struct RunReport {
  CurvePoint point;
  std::int64_t steps = 0;  ///< of the whole run; 0 when the time decides
  double scans_per_second = 0.0;
  double seconds_left = 0.0;
  double wait_ms = 0.0,
         make_ms = 0.0;  ///< per step: waiting for the batch, and what making it took (on its own thread)
  double forward_ms = 0.0, loss_ms = 0.0, backward_ms = 0.0, update_ms = 0.0;
};

struct RunCallbacks {
  std::function<void(const RunReport&)> report;
  std::function<void(const std::string&)> notice;  ///< one line: resumed, data found, ...
  std::function<bool()> stop;                      ///< asked before each step; true: write a checkpoint and return
};

struct RunResult {
  bool interrupted = false;
  std::int64_t steps = 0;
  std::int64_t scans = 0;
  double seconds = 0.0;
  double validation_miou = -1.0;
  std::vector<CurvePoint> curve;
};

/// Trains `start` (fresh or pretrained; needs a pipeline). Without a time budget the result is a function of model,
/// data and settings, for one number of threads; killed at any moment and started again, the run ends with the same
/// bits.
/// @throws UsageError (also: the checkpoint belongs to other settings), InputError, IoError
RunResult run_training(const Model& start, const RunSettings& settings, const RunCallbacks& callbacks);

}  // namespace rarefy::train
