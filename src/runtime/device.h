#pragma once
/// Running a plan on a GPU, behind an interface that needs nothing of CUDA. Internal.
#include <memory>
#include <vector>

#include "runtime/geometry_impl.h"

namespace rarefy::runtime {

/// What the caller gave, in host memory: spaces and features of the graph's inputs.
struct BoundInputs {
  const GeometryValues& values;
  const std::vector<TensorView>& features;  ///< by ValueId
  const RunStatistics& statistics;          ///< counts of the inputs
};

/// Memory and stream of one context on the GPU.
class DeviceRun {
 public:
  virtual ~DeviceRun() = default;
  /// One run, finished when it returns. Fills times, counts and sizes.
  virtual void run(const BoundInputs& inputs, const RunOptions& options, RunStatistics& statistics,
                   std::vector<StepProfile>& profile) = 0;
  /// Copies an output of the last run to host memory, valid until the next run.
  virtual void fetch(std::size_t output, Outputs::Entry& entry) = 0;
  /// Likewise the coordinates of its rows, if they have any.
  virtual void fetch_coords(std::size_t output, Outputs::Entry& entry) = 0;
  /// Hands over the host memory of what was fetched.
  virtual std::shared_ptr<void> release() = 0;
  /// Bytes on the device.
  virtual std::int64_t memory_bytes() const = 0;
};

/// The part of Plan::compile that is the GPU's: uploads weights. @throws UnsupportedError naming what is missing
void compile_for_device(Plan::Impl& plan);
std::unique_ptr<DeviceRun> make_device_run(const Plan::Impl& plan);

}  // namespace rarefy::runtime
