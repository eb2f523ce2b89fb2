#pragma once
/// The autotuner behind `rarefy tune`: tries every dataflow of every convolution, verified first, on real scans.
/// After TorchSparse++'s Sparse Autotuner (MICRO 2023, section 4): layers that share a map are one group, since what a
/// dataflow needs of the map is made once for all of them; forward, input gradient and weight gradient are chosen
/// apart.
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "kernels/conv.h"
#include "rarefy/session.h"
#include "rarefy/tuning.h"

namespace rarefy {

enum class TuneGradients : std::uint8_t { no, yes };

struct TunerOptions {
  int repetitions = 7;  ///< of each candidate on each scan
  TuneGradients gradients = TuneGradients::no;
  /// A dataflow replaces the cost model's choice for a layer if it takes less than this share of its time, and all that
  /// were chosen replace it if the whole network is then faster by `gain`: the rest is noise.
  double threshold = 0.97;
  double gain = 0.99;
  Progress progress = {};
};

/// What one layer took, by dataflow in the order of dataflows(); ms, medians; below zero: not tried.
struct LayerTimes {
  std::string layer, map;  ///< nodes
  std::int64_t in_channels = 0, out_channels = 0, rows = 0, pairs = 0;
  std::array<double, 3> forward{-1, -1, -1}, input_gradient{-1, -1, -1}, weight_gradient{-1, -1, -1};
  std::string by_cost_model;  ///< dataflow that runs without tuning
};

struct TuneReport {
  Tuning tuning;
  std::vector<LayerTimes> layers;
  /// Largest error of any candidate, as a share of what rounding may do. Candidates beyond 1 are an Error.
  double largest_error = 0;
  double default_ms = 0, tuned_ms = 0;  ///< whole runs, in turns, medians
  /// Whether the choice was clearly faster as a whole. If not, the tuning leaves forward passes to the cost model.
  bool pays = false;
};

/// Times a model's dataflows. @throws UsageError without scans or without a convolution on real numbers; Error naming
/// layer and dataflow when a kernel computes wrong numbers; what running the model throws.
class Tuner {
 public:
  Tuner(const Model& model, Executor& executor, TunerOptions options);
  /// @param scans  inputs of the model, like those that it will see; a handful
  TuneReport run(std::span<const Inputs> scans, const RunOptions& run = {});

 private:
  /// A convolution on real numbers over a map.
  struct Layer {
    const Node* node;
    ValueId map;
    std::size_t step;  ///< of the plans, which all have the same steps
    LayerTimes times;
  };
  std::shared_ptr<const Plan> plan_with(std::shared_ptr<const Tuning> tuning) const;
  Tuning blank() const;
  const KernelMap* map_of(const Geometry& geometry, const Layer& layer) const;
  void verify(const Geometry& geometry);
  void time_forward(std::span<const Inputs> scans, const RunOptions& run);
  void time_gradients(const Geometry& geometry);
  void choose();
  void compare(std::span<const Inputs> scans, const RunOptions& run);
  void report(std::int64_t done, std::int64_t total) const;

  Model model_;
  Executor& executor_;
  TunerOptions options_;
  std::vector<Layer> layers_;
  std::array<std::vector<std::pair<std::string, double>>, 3> map_ms_;  ///< by dataflow: maps and what they took
  TuneReport report_;
};

}  // namespace rarefy
