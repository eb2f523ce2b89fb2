#include "stream/labeller.h"

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "base/check.h"
#include "base/memory.h"
#include "common/calibration_runs.h"
#include "common/segmenter.h"
#include "data/formats/formats.h"

namespace rarefy::cli::stream {
namespace {

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Reading, waiting, in geometry, ready, in the network, two results, one with who takes results.
constexpr std::int64_t kMostFrames = 8;
/// Coordinates, intensity, both once more side by side, label.
constexpr std::int64_t kBytesPerPoint = 12 + 4 + 16 + 1;

std::size_t largest_of(const std::vector<ScanEntry>& entries) {
  std::size_t largest = 0;
  std::uintmax_t most = 0;
  for (std::size_t e = 0; e < entries.size(); ++e) {
    std::error_code missing;  // tells when its turn comes
    const std::uintmax_t size = std::filesystem::file_size(entries[e].scan, missing);
    if (missing || size <= most) continue;
    most = size;
    largest = e;
  }
  return largest;
}

double mb(std::int64_t bytes) { return 1e-6 * static_cast<double>(bytes); }

}  // namespace

Labeller::Labeller(const Model& model, const std::vector<ScanEntry>& entries, const LabellerOptions& options)
    : entries_(entries),
      options_(options),
      geometry_threads_(make_thread_pool(options.threads)),
      network_threads_(make_thread_pool(options.threads)),
      plan_(Plan::compile(model, options.plan)),
      pacer_(options.hold_ms, options.period_ms) {
  for (int g = 0; g < options.geometries; ++g)
    geometries_.emplace_back(plan_, GeometryOptions{.executor = geometry_threads_.get()});
  context_ = std::make_unique<Context>(plan_, ContextOptions{.executor = network_threads_.get()});
}

MemoryNeed Labeller::check_memory() {
  Frame frame;
  frame.entry = largest_of(entries_);
  frame.geometry = 0;
  read(frame);
  MemoryNeed need;
  need.scans = kMostFrames * kBytesPerPoint * frame.scan.size();
  if (options_.plan.device == Device::cuda) return need;  // the rest lies on the GPU, which says itself when it is full
  prepare(frame);
  Geometry& geometry = geometries_.front();
  need.geometry = static_cast<std::int64_t>(geometries_.size()) * geometry.memory_bytes();
  need.features =
      std::max<std::int64_t>(0, plan_->expected_memory(geometry.statistics().sizes) - geometry.memory_bytes());
  const std::int64_t limit = options_.memory_limit;
  const std::int64_t available = limit > 0 ? limit : available_memory();
  RAREFY_CHECK(available < 0 || need.all() <= available, MemoryError,
               "this stream needs {:.0f} MB of memory for scans like {} ({} points: {:.0f} MB for {} scans on their "
               "way, {:.0f} MB for {} sets of maps, {:.0f} MB for features); {:.0f} MB {}. Take larger voxels, a "
               "narrower model or smaller scans",
               mb(need.all()), entries_[frame.entry].scan, frame.scan.size(), mb(need.scans), kMostFrames,
               mb(need.geometry), geometries_.size(), mb(need.features), mb(available),
               limit > 0 ? "are allowed (--memory)" : "are available");
  if (limit > 0) {
    // What a run itself checks: its features and its own geometry.
    const std::int64_t others = need.scans + need.geometry - geometry.memory_bytes();
    context_ = std::make_unique<Context>(
        plan_, ContextOptions{.executor = network_threads_.get(), .memory_limit = limit - others});
  }
  return need;
}

void Labeller::calibrate() {
  if (options_.hold_ms <= 0) return;
  Frame frame;
  frame.entry = largest_of(entries_);
  frame.geometry = 0;
  read(frame);
  Geometry& geometry = geometries_.front();
  const auto fastest = calibrate_by_shares(
      [&](double share) {
        geometry.prepare({{"points", view_of(frame.scan, frame.points)}},
                         {.stop = options_.stop, .thinning = {.share = share, .order = options_.order}});
        (void)context_->run(geometry, {.stop = options_.stop});
        return std::tuple(context_->statistics().total_ms, geometry.statistics().total_ms,
                          context_->statistics().voxels);
      },
      [&](const auto& seen) {
        const auto& [whole_ms, geometry_ms, voxels] = seen;
        pacer_.observe(voxels, geometry_ms, whole_ms - geometry_ms);
      });
  RAREFY_CHECK(
      std::get<0>(fastest) <= options_.hold_ms, UsageError,
      "a deadline of {:g} ms cannot be held by leaving voxels out: the fastest run, on {} voxels, takes {:.1f} "
      "ms here (--whole keeps all voxels and counts what is late)",
      options_.hold_ms, std::get<2>(fastest), std::get<0>(fastest));
}

Stages Labeller::stages() {
  return {[this](Frame& frame) { read(frame); }, [this](Frame& frame) { prepare(frame); },
          [this](Frame& frame) { infer(frame); }};
}

void Labeller::read(Frame& frame) {
  const auto start = Clock::now();
  frame.scan = load_scan(entries_[frame.entry].scan, {.format = options_.format, .strict = options_.strict});
  interleave(frame.scan, frame.points);
  frame.times.read = ms_since(start);
}

void Labeller::prepare(Frame& frame) {
  Geometry& geometry = geometries_[static_cast<std::size_t>(frame.geometry)];
  RunOptions run{.stop = options_.stop, .strict = options_.strict};
  frame.pace = {};
  if (options_.hold_ms > 0) {
    frame.pace = pacer_.allow(ms_since(frame.arrival));
    run.thinning = {.most = frame.pace.most, .order = options_.order};
  }
  geometry.prepare({{"points", view_of(frame.scan, frame.points)}}, run);
}

void Labeller::infer(Frame& frame) {
  Geometry& geometry = geometries_[static_cast<std::size_t>(frame.geometry)];
  const auto labels = context_->run(geometry, {.stop = options_.stop})["labels"].as<std::uint8_t>();
  frame.labels.assign(labels.begin(), labels.end());
  // The geometry's part included; features of voxels are made here, too.
  const RunStatistics& s = context_->statistics();
  frame.times.voxelize = s.voxelize_ms;
  frame.times.maps = s.maps_ms;
  frame.times.network = s.network_ms;
  frame.voxels = s.voxels;
  frame.voxels_left_out = s.voxels_left_out;
  frame.macs = s.macs;
  const double geometry_ms = geometry.statistics().total_ms;
  if (options_.hold_ms > 0) pacer_.observe(s.voxels, geometry_ms, s.total_ms - geometry_ms);
}

}  // namespace rarefy::cli::stream
