#pragma once
/// What Geometry holds and how Geometry and Context run the steps of a plan. Internal.
#include <chrono>

#include "runtime/plan_impl.h"

namespace rarefy::runtime {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point start);

/// The host's executor, or one of our own.
class OwnExecutor {
 public:
  /// @throws UsageError
  OwnExecutor(int threads, Executor* given);
  Executor& get() const { return *executor_; }

 private:
  std::unique_ptr<Executor> own_;
  Executor* executor_ = nullptr;
};

/// What a step may look at and change; its output is in place already.
struct StepSurroundings {
  const Plan::Impl& plan;
  GeometryValues& values;
  const std::vector<TensorView>& features;  ///< by ValueId
  Executor& executor;
  AlignedBuffer& scratch;     ///< working memory of one step
  RunStatistics& statistics;  ///< gets the step's time, work and sizes
  ThinState* thin = nullptr;
};
void run_step(const StepSurroundings& around, std::size_t step, StepProfile& profile);

/// One entry per step of the plan, nothing measured yet.
std::vector<StepProfile> profile_of(const Plan::Impl& plan);
/// @throws Cancelled naming the step that was not begun
void check_stop(const RunOptions& options, std::string_view before);
/// @throws InputError in strict mode when some of the points cannot be used
void check_points(bool strict, std::int64_t points, std::int64_t not_finite, std::int64_t outside);
/// Rows of the finest sparse space.
std::int64_t finest_voxels(const Graph& graph, const Sizes& sizes);

}  // namespace rarefy::runtime

namespace rarefy {

struct Geometry::Impl {
  Impl(std::shared_ptr<const Plan> compiled_plan, const GeometryOptions& options);

  std::shared_ptr<const Plan> plan;
  runtime::OwnExecutor executor;
  runtime::GeometryValues values;
  std::vector<TensorView> features;               ///< by ValueId: inputs; a context adds what its layers make
  AlignedBuffer scratch;                          ///< of the step that runs
  std::vector<AlignedBuffer> input_buffers;       ///< by input node, for layouts that must be converted
  std::vector<std::vector<std::int32_t>> orders;  ///< by input node
  std::vector<StepProfile> profile;
  RunStatistics statistics;
  runtime::ThinState thin;
  bool ready = false;  ///< the last prepare() succeeded

  const Graph& graph() const { return plan->impl().model.graph(); }
  void bind(const Inputs& inputs);
};

}  // namespace rarefy
