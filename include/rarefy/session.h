#pragma once
/// Running a model: Plan (compiled, shared), Context (memory of one calling thread), Session (both, for those with one
/// thread), Geometry (what can be made ahead of a run).
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rarefy/executor.h"
#include "rarefy/model.h"
#include "rarefy/tensor.h"
#include "rarefy/thinning.h"
#include "rarefy/tuning.h"

namespace rarefy {

/// Where the float32 fields of a point lie, in bytes from its start.
struct PointFields {
  std::int64_t x = 0;
  std::int64_t y = 4;
  std::int64_t z = 8;
  std::int64_t intensity = -1;  ///< -1: the scan has none
};

/// Points in the caller's memory, in any layout; nothing is copied or owned. Metres; intensity 0..1.
struct PointView {
  const void* data = nullptr;
  std::int64_t count = 0;
  std::int64_t stride_bytes = 16;
  PointFields fields = {};
  /// [B+1] first point of each scan, for several scans in one run; empty = one scan.
  std::span<const std::int64_t> sample_begin = {};
};

/// A sparse tensor in the caller's memory.
struct SparseView {
  const std::int32_t* coords = nullptr;  ///< [N, 1 + D] contiguous: batch, x, y, ...; any order
  TensorView features;                   ///< float32 [N, C]
  std::int64_t batches = -1;             ///< -1 = one more than the largest batch index
};

/// Rows of several samples in the caller's memory: tokens of sentences, pixels of images.
struct RowsView {
  TensorView features;                              ///< float32 [N, C]
  std::span<const std::int64_t> sample_begin = {};  ///< [B+1] first row of each sample; empty = one sample
};

/// What a graph input takes: points, a sparse tensor, or rows of features, as a plain matrix when they are one sample.
using Input = std::variant<PointView, SparseView, TensorView, RowsView>;
using Inputs = std::vector<std::pair<std::string, Input>>;

/// Named results. Views into the context, valid until its next run; `copy()` owns.
class RAREFY_API Outputs {
 public:
  struct Entry {
    std::string name;
    TensorView view;
    std::vector<std::int32_t> const* coords = nullptr;  ///< [N * (1 + D)] when the rows are sites of a sparse space
    std::int64_t coord_cols = 0;
  };
  /// @throws UsageError listing the outputs there are.
  const TensorView& operator[](std::string_view name) const;
  /// Coordinates of the rows, int32 [N, 1 + D]. @throws UsageError when the output's rows have none.
  TensorView coords(std::string_view name) const;
  const std::vector<Entry>& all() const;

 private:
  friend class Context;
  const Entry& find(std::string_view name, bool with_coords) const;
  mutable std::vector<Entry> entries_;
  /// Of a run on a GPU: copies an output, or its coordinates, to host memory when first asked for.
  std::function<void(std::size_t, Entry&)> fetch_, fetch_coords_;
  mutable std::vector<char> fetched_, fetched_coords_;
};

/// What layers keep their weights and features in. They compute in fp32 either way.
enum class Storage : std::uint8_t {
  as_weights,  ///< a layer whose weight the model holds as f16 (`rarefy quantize --bits 16`): as half, others: as real
  real,        ///< fp32
  half,        ///< 16 bits (IEEE binary16): weights, and the features between such layers. Outputs stay fp32.
};

/// What layers compute with on a GPU; sums are fp32 always. (On a CPU the model says it: `rarefy quantize`.)
enum class Precision : std::uint8_t {
  automatic,  ///< fp16 on a GPU
  fp32,       ///< without tensor cores: for comparisons
  tf32,       ///< fp32 in memory, multiplied with 10 bits of mantissa
  fp16,       ///< weights and features in 16 bits
  bf16,       ///< likewise, with the range of fp32 and 8 bits of precision
};
/// "fp16", ...
RAREFY_API std::string_view name(Precision precision);
/// @throws UsageError listing the names
RAREFY_API Precision precision_named(std::string_view name);

/// A GPU that plans can be compiled for.
struct GpuInfo {
  std::string name;
  std::string capability;  ///< "9.0"
  std::int64_t memory_bytes = 0;
};
/// Those that this build and this machine can use; the first is the one that plans take. Empty without a driver, or
/// when the library was built without CUDA.
RAREFY_API std::vector<GpuInfo> gpus();

/// How a model is compiled.
struct PlanOptions {
  bool fuse = true;          ///< fuse normalisation, residual add and activation into the layers that make their input
  bool share_memory = true;  ///< reuse buffers of values that are no longer needed
  bool integers = true;      ///< quantized layers compute on bytes; false: the same rounding on real numbers
  Storage storage = Storage::as_weights;
  std::string isa = {};                       ///< "portable", "avx2", "avx512"; empty = the best, or RAREFY_ISA
  std::shared_ptr<const Tuning> tuning = {};  ///< of `rarefy tune`; without it a deterministic cost model chooses
  /// cuda: weights, maps and features lie on the first GPU; inputs and outputs stay in host memory. `integers`,
  /// `storage`, `isa` and `tuning` are the CPU's: quantized models compute the same rounding in `precision`.
  Device device = Device::cpu;
  Precision precision = Precision::automatic;  ///< of a GPU
};

/// A model compiled for one instruction set, or a GPU: packed weights, fused steps, memory layout. Immutable, shared by
/// contexts.
class RAREFY_API Plan {
 public:
  /// @throws UsageError when the tuning is for another CPU, instruction set or graph; UnsupportedError when there is no
  /// GPU, or when the GPU cannot run an op (all that it cannot run are named)
  static std::shared_ptr<const Plan> compile(const Model& model, const PlanOptions& options = {});
  ~Plan();
  const Model& model() const;
  /// One line per step, for people.
  std::string to_text() const;
  /// Bytes that a context is expected to hold after a run on data of these sizes: features, maps and working memory,
  /// but neither weights nor the caller's data. Within some 10 % for LiDAR scans. @throws UsageError naming a missing
  /// size
  std::int64_t expected_memory(const Sizes& sizes) const;
  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  Plan();
  std::unique_ptr<Impl> impl_;
};

/// How one run behaves.
struct RunOptions {
  std::stop_token stop = {};                                           ///< checked between nodes
  std::optional<std::chrono::steady_clock::time_point> deadline = {};  ///< likewise; @throws Cancelled
  bool strict = false;  ///< points that are NaN, infinite or out of range are an InputError instead of label 255
  /// On a GPU: time every step for profile(), waiting for each; a run takes longer then. On a CPU steps are timed
  /// always.
  bool time_steps = false;
  /// Leaves the least important voxels out ahead of the network, of every voxelization. With a Geometry: of prepare().
  /// How many a deadline allows is what a VoxelBudget (voxel_budget.h) knows.
  Thinning thinning = {};
};

/// Time and work of one step of the last run.
struct StepProfile {
  std::string name;      ///< node name (the first of a fused group)
  std::string op;        ///< op, with "+..." for what was fused into it
  std::string kind;      ///< "voxelize", "maps" or "network"
  std::string variant;   ///< kernel that ran, or empty
  std::string dataflow;  ///< of a convolution over a map on real numbers: "blocked", ...; else empty
  double ms = 0;
  std::int64_t macs = 0;
  std::int64_t rows = 0;
  std::int64_t pairs = 0;
  std::string note = {};  ///< what the model says of how the step runs: "kept real numbers: faster here ..."
};

/// Times and counts of the last run.
struct RunStatistics {
  double total_ms = 0;
  double voxelize_ms = 0;
  double maps_ms = 0;
  double network_ms = 0;
  std::int64_t macs = 0;
  std::int64_t points = 0;
  std::int64_t voxels = 0;           ///< rows of the finest sparse space
  std::int64_t voxels_left_out = 0;  ///< by RunOptions::thinning
  std::int64_t points_not_finite = 0;
  std::int64_t points_outside = 0;
  bool intensity_missing = false;  ///< the model wanted intensity, the scan had none
  /// Rows of each sparse space and pairs of each map, by value.
  Sizes sizes;
};

/// Where geometry is made.
struct GeometryOptions {
  int threads = 1;               ///< size of our own pool; ignored when an executor is given
  Executor* executor = nullptr;  ///< the host's; must outlive the geometry
};

/// The part of a run that depends on coordinates only: bound inputs, voxels, sites, kernel maps. It may run ahead:
/// while a context computes the network for one frame, another thread makes the geometry of the next. Results are those
/// of Context::run(inputs), bit for bit. What depends on features is left to the run (spaces that the network itself
/// selects, and all that follows from them), and all of it when the plan is for a GPU, where prepare() binds the inputs
/// only. Not thread-safe: prepare() must not overlap with a run of the same
/// geometry; make two or more per plan and take turns. Stays usable after any error.
class RAREFY_API Geometry {
 public:
  explicit Geometry(std::shared_ptr<const Plan> plan, const GeometryOptions& options = {});
  ~Geometry();
  Geometry(Geometry&&) noexcept;
  Geometry& operator=(Geometry&&) noexcept;

  /// Binds the inputs and makes all that follows from coordinates; what was there before is gone. Data whose layout
  /// needs no conversion is not copied: it must stay where it is until the network has run.
  /// @throws UsageError for missing or unknown inputs, InputError for bad data, Cancelled
  void prepare(const Inputs& inputs, const RunOptions& options = {});
  /// Of the last prepare(): its times, counts and sizes; nothing of the network.
  const RunStatistics& statistics() const;
  /// Bytes that this geometry holds.
  std::int64_t memory_bytes() const;

 private:
  friend class Context;
  friend class Tuner;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Where a context runs.
struct ContextOptions {
  int threads = 1;               ///< size of our own pool; ignored when an executor is given
  Executor* executor = nullptr;  ///< the host's; must outlive the context
  /// Most bytes that the context may hold; 0 = what the system has available. A run that needs more is refused before
  /// its layers take memory: points, voxels and maps are there by then, features are not.
  std::int64_t memory_limit = 0;
};

/// Memory and threads of one calling thread. Not thread-safe; make one per thread. Stays usable after any error.
class RAREFY_API Context {
 public:
  Context(std::shared_ptr<const Plan> plan, const ContextOptions& options = {});
  ~Context();
  Context(Context&&) noexcept;
  Context& operator=(Context&&) noexcept;

  /// @throws UsageError for missing or unknown inputs, InputError for bad data, MemoryError for too much of it,
  /// Cancelled. Results stay until the next run.
  const Outputs& run(const Inputs& inputs, const RunOptions& options = {});
  /// Hands over the memory in which the last results lie: they stay where they are, as they are, for as long as the
  /// returned owner lives, and the next run takes fresh memory. Results that lie in the caller's own input, or in a
  /// Geometry of the caller's, stay the caller's. For hosts whose callers may keep results, such as Python's.
  std::shared_ptr<void> release_outputs();
  /// The rest of a run whose geometry was prepared for the same plan, maybe by another thread; it may run again.
  /// Outputs that are indices lie in the geometry: they are valid until it prepares something else.
  /// @throws UsageError for geometry of another plan or without a successful prepare(), MemoryError, Cancelled
  const Outputs& run(Geometry& geometry, const RunOptions& options = {});
  /// Of the last run. With a Geometry the total is the time of both parts, without what passed in between.
  const RunStatistics& statistics() const;
  /// Steps of the last run, in order.
  const std::vector<StepProfile>& profile() const;
  /// Bytes that this context holds, on a GPU those there included.
  std::int64_t memory_bytes() const;

 private:
  void offer_device_outputs();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Where a session runs and how its model is compiled.
struct SessionOptions {
  int threads = 1;
  Executor* executor = nullptr;
  PlanOptions plan = {};
  std::int64_t memory_limit = 0;  ///< as ContextOptions
};

/// A plan and one context.
class RAREFY_API Session {
 public:
  explicit Session(const Model& model, const SessionOptions& options = {});
  const Outputs& run(const Inputs& inputs, const RunOptions& options = {}) { return context_.run(inputs, options); }
  const RunStatistics& statistics() const { return context_.statistics(); }
  const std::vector<StepProfile>& profile() const { return context_.profile(); }
  const Plan& plan() const { return *plan_; }
  Context& context() { return context_; }

 private:
  std::shared_ptr<const Plan> plan_;
  Context context_;
};

}  // namespace rarefy
