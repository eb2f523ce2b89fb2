#pragma once
/// How many voxels each stage drops, chosen by measured time and measured change of labels.
///
/// Every stage alone at every level of dropping is run once: a table of the time that it saves here and of the labels
/// that it changes. From the dense model on, the step that saves most time per label changed is taken, again and again,
/// and after each the model itself is timed, until it keeps the budget: what the table promises only orders the steps.
/// A stage at which dropping saves nothing stays dense. Source of the idea: SparseViT's search under measured
/// latency (CVPR 2023, section 3.4); greedy here, because stages are few and the table is exact about each alone.
#include <map>
#include <string>
#include <vector>

#include "base/progress.h"
#include "compress/drop_voxels.h"
#include "compress/timing.h"

namespace rarefy::compress {

/// What counts as changed.
enum class Changed : std::uint8_t {
  labels,   ///< the share of the labels that are not those of the dense model
  classes,  ///< one minus the mean IoU against the labels of the dense model: rare classes count as much as others
};

struct ChooseRatiosOptions {
  double budget_ms = 0;  ///< of a whole run, voxels and maps included (or of whatever `time` returns)
  Changed by = Changed::labels;
  std::vector<double> levels = {0.1, 0.2, 0.3, 0.4, 0.5,
                                0.6, 0.7, 0.8, 0.9};  ///< ratios that a stage may have beside 0, ascending
  DropVoxelsOptions drop = {};                        ///< scores and sharing; ratios are not looked at
  TimeNetworks time;                                  ///< time_in_turns(), known times, or another cost in their place
  Executor* executor = nullptr;                       ///< of the runs that count labels
  Progress progress = {};                             ///< after every model of the table; may throw to stop
};

/// One cell of the table.
struct RatioCost {
  std::string stage;
  double ratio = 0;
  double ms = 0;       ///< of the whole model with this stage alone at this ratio
  double changed = 0;  ///< 0..1, see ChooseRatiosOptions::by
};

struct RatiosChoice {
  Model model;
  std::map<std::string, double> ratios;  ///< by stage; only those that drop
  std::vector<RatioCost> table;
  double ms_dense = 0, ms_promised = 0, ms = 0;  ///< whole runs; promised by the table, and measured
  double changed = 0;
};

/// Time of a whole run: all steps.
double whole_ms(const NetworkTimes& times);

/// Labels are the output "labels" of the model.
/// @throws UsageError without scans, for levels that are no ratios, or for a budget below what any choice reaches: the
///         message names the fastest; UnsupportedError without residual blocks or an output "labels"
RatiosChoice choose_ratios(const Model& model, const std::vector<Inputs>& scans, const ChooseRatiosOptions& options);

}  // namespace rarefy::compress
