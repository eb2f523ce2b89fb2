#pragma once
/// What the stages of a stream do: read a scan, make its geometry, label its points.
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "data/sets/data_set.h"
#include "rarefy/session.h"
#include "stream/pipeline.h"

namespace rarefy::cli::stream {

struct LabellerOptions {
  int threads = 1;              ///< of the network, and as many of the geometry: both rarely want all at once
  std::string format = "auto";  ///< of the scans
  bool strict = false;
  std::int64_t memory_limit = 0;  ///< bytes that scans, geometry and features may take; 0 = what the system has
  int geometries = 3;             ///< as PipelineOptions
  PlanOptions plan = {};          ///< how the model is compiled
  double hold_ms = 0;             ///< from arrival to labels: voxels are left out so that this holds; 0 = all stay
  double period_ms = 0;           ///< between two scans; 0 = they come when there is place
  VoxelOrder order = VoxelOrder::spread;
  std::stop_token stop;  ///< polled
};

/// Bytes that a stream takes beside the program and the model.
struct MemoryNeed {
  std::int64_t scans = 0;     ///< all frames on their way
  std::int64_t geometry = 0;  ///< all geometries
  std::int64_t features = 0;  ///< of the one context
  std::int64_t all() const { return scans + geometry + features; }
};

/// One plan, one context, several geometries, two pools of threads.
class Labeller {
 public:
  /// @param model    with a pipeline record, an input 'points' and an output 'labels'
  /// @param entries  must outlive this
  Labeller(const Model& model, const std::vector<ScanEntry>& entries, const LabellerOptions& options);

  /// Measured on the scan that takes most space on disk.
  /// @throws MemoryError with the figures when it is more than may be had; IoError, InputError when the scan cannot be
  /// read
  MemoryNeed check_memory();
  /// Times the scan that check_memory looked at, at several sizes: what the cost model of --deadline begins with.
  /// @throws UsageError when even few voxels take longer than hold_ms, naming the time that they take
  void calibrate();
  /// Valid while this object lives.
  Stages stages();

 private:
  void read(Frame& frame);
  void prepare(Frame& frame);
  void infer(Frame& frame);

  const std::vector<ScanEntry>& entries_;
  LabellerOptions options_;
  std::unique_ptr<Executor> geometry_threads_, network_threads_;
  std::shared_ptr<const Plan> plan_;
  std::vector<Geometry> geometries_;
  std::unique_ptr<Context> context_;
  Pacer pacer_;
};

}  // namespace rarefy::cli::stream
