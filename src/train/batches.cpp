#include "train/batches.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/check.h"

namespace rarefy::train {
namespace {

/// A bijection of [0, size) that depends on (seed, epoch): a Feistel network on the smallest even number of bits that
/// holds size, walked until it lands inside. No table, no state.
std::int64_t permuted(std::int64_t index, std::int64_t size, std::uint64_t seed, std::uint64_t epoch) {
  int half = 1;
  while ((std::int64_t{1} << (2 * half)) < size) ++half;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  auto x = static_cast<std::uint64_t>(index);
  do {
    std::uint64_t left = x >> half, right = x & mask;
    for (std::uint64_t round = 0; round < 4; ++round) {
      const std::uint64_t mixed = mix64(mix64(mix64(seed) ^ epoch) ^ (right << 8 | round));
      left = std::exchange(right, (left ^ mixed) & mask);
    }
    x = left << half | right;
  } while (x >= static_cast<std::uint64_t>(size));
  return static_cast<std::int64_t>(x);
}

float missing_intensity(const Pipeline& pipeline) {
  for (const FeatureSpec& feature : pipeline.features)
    if (feature.name == "intensity") return static_cast<float>(feature.missing);
  return 0.0f;
}

}  // namespace

std::vector<std::uint8_t> row_labels(const Graph& graph, const Prepared& prepared, ValueId value,
                                     std::span<const std::uint8_t> point_labels) {
  const ValueId space = graph.type(value).space;
  for (const Node& node : graph.nodes()) {
    if (node.op == "input_points" && node.outputs[0] == space) return {point_labels.begin(), point_labels.end()};
    if (node.op == "thin" && node.outputs[0] == space) {
      const std::vector<std::uint8_t> all = row_labels(graph, prepared, node.inputs[1], point_labels);
      std::vector<std::uint8_t> labels;
      for (const std::int32_t row : prepared.index(node.outputs[1]).voxel_of_point)
        labels.push_back(all[static_cast<std::size_t>(row)]);
      return labels;
    }
    if (node.op != "voxelize" || node.outputs[0] != space) continue;
    const Voxels& voxels = prepared.index(node.outputs[1]);
    std::vector<std::uint8_t> labels(static_cast<std::size_t>(voxels.coords.rows()), kIgnored);
    std::array<std::int32_t, 256> votes{};
    for (std::size_t v = 0; v < labels.size(); ++v) {
      const auto first = static_cast<std::size_t>(voxels.point_begin[v]),
                 last = static_cast<std::size_t>(voxels.point_begin[v + 1]);
      std::uint8_t best = kIgnored;
      for (std::size_t i = first; i < last; ++i) {
        const std::uint8_t label = point_labels[static_cast<std::size_t>(voxels.point_order[i])];
        if (label == kIgnored) continue;
        ++votes[label];
        if (best == kIgnored || votes[label] > votes[best] || (votes[label] == votes[best] && label < best))
          best = label;
      }
      for (std::size_t i = first; i < last; ++i)
        votes[point_labels[static_cast<std::size_t>(voxels.point_order[i])]] = 0;
      labels[v] = best;
    }
    return labels;
  }
  fail<UsageError>("training: the rows of the output are neither points nor voxels of points; give labels per row");
}

void prepare_points(const Preparer& preparer, const Pipeline& pipeline, const Batch& batch, Executor& executor,
                    Prepared& prepared) {
  const std::int64_t points = batch.size();
  prepared.points.resize(static_cast<std::size_t>(4 * std::max<std::int64_t>(points, 1)));
  const float missing = missing_intensity(pipeline);
  for (std::int64_t s = 0; s < batch.samples(); ++s) {
    const bool known = batch.has_intensity[static_cast<std::size_t>(s)] != 0;
    for (std::int64_t i = batch.sample_begin[static_cast<std::size_t>(s)];
         i < batch.sample_begin[static_cast<std::size_t>(s) + 1]; ++i) {
      const auto p = static_cast<std::size_t>(i);
      std::copy_n(batch.xyz.data() + 3 * p, 3, prepared.points.data() + 4 * p);
      prepared.points[4 * p + 3] = known ? batch.intensity[p] : missing;
    }
  }
  PointView view{prepared.points.data(), points, 16, {0, 4, 8, 12}, batch.sample_begin};
  const Graph& graph = preparer.graph();
  RAREFY_CHECK(graph.inputs().size() == 1, UsageError,
               "training on scans needs a graph with one input of points, this one has {} inputs",
               graph.inputs().size());
  preparer.prepare({{graph.nodes()[static_cast<std::size_t>(graph.inputs()[0])].name, view}}, executor, prepared);
}

BatchMaker::BatchMaker(std::vector<ScanSource> sources, const Preparer& preparer, const Pipeline& pipeline,
                       const LabelMap& map, ValueId output, const BatchOptions& options)
    : sources_(std::move(sources)),
      preparer_(preparer),
      pipeline_(pipeline),
      map_(map),
      output_(output),
      options_(options) {
  RAREFY_CHECK(scans() > 0, UsageError, "there are no scans to train on");
  RAREFY_CHECK(options.scans >= 1 && options.scans <= 256, UsageError, "a batch holds 1 to 256 scans, got {}",
               options.scans);
}

std::int64_t BatchMaker::scans() const {
  std::int64_t total = 0;
  for (const ScanSource& source : sources_) total += source.size();
  return total;
}

Sample BatchMaker::load(std::int64_t index) const {
  for (const ScanSource& source : sources_) {
    if (index < source.size()) return source.load_sample(index, map_);
    index -= source.size();
  }
  fail<UsageError>("scan {} is beyond the end", index);
}

std::int64_t BatchMaker::scan_at(std::int64_t position) const {
  const std::int64_t size = scans();
  if (!options_.shuffle_and_augment) return position % size;
  return permuted(position % size, size, options_.seed, static_cast<std::uint64_t>(position / size));
}

TrainBatch BatchMaker::make(std::int64_t step, Executor& executor) const {
  const auto start = std::chrono::steady_clock::now();
  std::vector<Sample> samples;
  for (int i = 0; i < options_.scans; ++i) {
    const std::int64_t position = step * options_.scans + i;
    Sample sample = load(scan_at(position));
    if (options_.shuffle_and_augment) {
      const Rng rng(options_.seed, static_cast<std::uint64_t>(position), 0xA06);
      const bool mixes = options_.augment.swap_sector > 0.0 || options_.augment.rotate_paste > 0.0;
      Rng choice = rng.fork(1);
      const Sample partner = mixes ? load(choice.integer(0, scans() - 1)) : Sample{};
      sample = augment(sample, mixes ? &partner : nullptr, options_.augment, rng.fork(2));
    }
    samples.push_back(std::move(sample));
  }
  Batch batch;
  assemble_batch(std::span<const Sample>(samples), batch);
  TrainBatch result;
  result.prepared = std::make_shared<Prepared>();
  prepare_points(preparer_, pipeline_, batch, executor, *result.prepared);
  result.labels = row_labels(preparer_.graph(), *result.prepared, output_, batch.labels);
  result.scans = options_.scans;
  result.points = batch.size();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::vector<std::int64_t> BatchMaker::class_counts(std::int64_t wanted) const {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(map_.classes()));
  const std::int64_t size = scans(), take = std::min(wanted, size);
  for (std::int64_t i = 0; i < take; ++i)
    for (const std::uint8_t label : load(i * size / take).labels)
      if (label != kIgnored) ++counts[label];
  return counts;
}

Prefetcher::Prefetcher(Make make, std::int64_t first, std::int64_t last, std::size_t capacity)
    : make_(std::move(make)), capacity_(capacity), thread_([this, first, last] { work(first, last); }) {}

Prefetcher::~Prefetcher() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Prefetcher::work(std::int64_t first, std::int64_t last) {
  for (std::int64_t step = first; step < last; ++step) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || ready_.size() < capacity_; });
      if (stop_) return;
    }
    try {
      TrainBatch batch = make_(step);
      std::lock_guard lock(mutex_);
      ready_.push_back(std::move(batch));
    } catch (...) {
      std::lock_guard lock(mutex_);
      error_ = std::current_exception();
      changed_.notify_all();
      return;
    }
    changed_.notify_all();
  }
}

TrainBatch Prefetcher::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || error_; });
  if (ready_.empty()) std::rethrow_exception(error_);
  TrainBatch batch = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

}  // namespace rarefy::train
