#pragma once
/// Batches of a training run: reading, augmenting, voxelizing and map building, ahead of the step that needs them.
/// Batch k is a function of (seed, k, data), never of timing. Needs no LibTorch.
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/augment/augment.h"
#include "data/sets/data_set.h"
#include "train/prepared.h"

namespace rarefy::train {

/// A batch ready for Learner::step.
struct TrainBatch {
  std::shared_ptr<Prepared> prepared;
  std::vector<std::uint8_t> labels;  ///< per row of the network's output
  std::int64_t scans = 0;
  std::int64_t points = 0;
  double seconds = 0.0;  ///< what making it took
};

struct BatchOptions {
  int scans = 1;  ///< per batch
  std::uint64_t seed = 1;
  AugmentOptions augment;
  bool shuffle_and_augment = true;  ///< false: scans in order, as they are
};

/// Labels of the rows of `value`, from one label per point: per voxel the most frequent one (the lowest of equals),
/// ignored points not counted; over the space of the points, the labels themselves.
/// @throws UsageError when the value's rows are neither points nor voxels of points
std::vector<std::uint8_t> row_labels(const Graph& graph, const Prepared& prepared, ValueId value,
                                     std::span<const std::uint8_t> point_labels);

/// Fills `prepared` with points (x, y, z, intensity; the pipeline's `missing` where a sample has none) and their
/// geometry.
void prepare_points(const Preparer& preparer, const Pipeline& pipeline, const Batch& batch, Executor& executor,
                    Prepared& prepared);

class BatchMaker {
 public:
  /// @param preparer  must outlive this
  BatchMaker(std::vector<ScanSource> sources, const Preparer& preparer, const Pipeline& pipeline, const LabelMap& map,
             ValueId output, const BatchOptions& options);
  /// Batch `step` (0, 1, ...). Thread-safe.
  TrainBatch make(std::int64_t step, Executor& executor) const;
  std::int64_t scans() const;
  /// Labelled points per class in up to `scans` evenly chosen scans.
  std::vector<std::int64_t> class_counts(std::int64_t scans) const;

 private:
  Sample load(std::int64_t index) const;
  /// The scan that comes at place `position` of the endless sequence: epochs are permutations.
  std::int64_t scan_at(std::int64_t position) const;

  std::vector<ScanSource> sources_;
  const Preparer& preparer_;
  Pipeline pipeline_;
  const LabelMap& map_;
  ValueId output_;
  BatchOptions options_;
};

/// Makes batches ahead on one thread; at most `capacity` wait.
class Prefetcher {
 public:
  using Make = std::function<TrainBatch(std::int64_t step)>;
  Prefetcher(Make make, std::int64_t first, std::int64_t last, std::size_t capacity);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  /// The next batch in order. Rethrows what making it threw.
  TrainBatch next();

 private:
  void work(std::int64_t first, std::int64_t last);

  Make make_;
  std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<TrainBatch> ready_;
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace rarefy::train
