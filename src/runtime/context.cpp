// The network's part of a run, and what a run gives.
#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "runtime/device.h"
#include "runtime/geometry_impl.h"
#include "runtime/memory.h"

namespace rarefy {

using runtime::Step;

namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

/// Everything but the sizes, whose nodes are kept: a copy of the map would allocate.
void start_from(const RunStatistics& prepared, RunStatistics& s) {
  s.total_ms = prepared.total_ms;
  s.voxelize_ms = prepared.voxelize_ms;
  s.maps_ms = prepared.maps_ms;
  s.network_ms = prepared.network_ms;
  s.macs = prepared.macs;
  s.points = prepared.points;
  s.points_not_finite = prepared.points_not_finite;
  s.points_outside = prepared.points_outside;
  s.intensity_missing = prepared.intensity_missing;
  s.voxels_left_out = prepared.voxels_left_out;
  for (const auto& [value, size] : prepared.sizes) s.sizes[value] = size;
}

}  // namespace

const TensorView& Outputs::operator[](std::string_view name) const { return find(name, false).view; }

TensorView Outputs::coords(std::string_view name) const {
  const Entry& entry = find(name, true);
  RAREFY_CHECK(entry.coords != nullptr, UsageError, "output '{}' has no coordinates: its rows are points", name);
  auto* data = const_cast<std::int32_t*>(entry.coords->data());
  return {data, Dtype::i32, Device::cpu, entry.view.rows, entry.coord_cols, entry.coord_cols};
}

const std::vector<Outputs::Entry>& Outputs::all() const {
  for (const Entry& entry : entries_) find(entry.name, true);
  return entries_;
}

const Outputs::Entry& Outputs::find(std::string_view name, bool with_coords) const {
  std::vector<std::string> known;
  for (std::size_t o = 0; o < entries_.size(); ++o) {
    Entry& entry = entries_[o];
    if (entry.name == name) {
      if (fetch_ && fetched_[o] == 0) {
        fetch_(o, entry);
        fetched_[o] = 1;
      }
      if (fetch_coords_ && with_coords && fetched_coords_[o] == 0) {
        fetch_coords_(o, entry);
        fetched_coords_[o] = 1;
      }
      return entry;
    }
    known.push_back(entry.name);
  }
  fail<UsageError>("there is no output '{}'{}", name, did_you_mean(name, known));
}

struct Context::Impl {
  Impl(std::shared_ptr<const Plan> compiled_plan, const ContextOptions& options);

  std::shared_ptr<const Plan> plan;
  runtime::OwnExecutor executor;
  Geometry own;                                   ///< of run(inputs)
  std::vector<AlignedBuffer> buffers;             ///< by buffer of the layout
  AlignedBuffer scratch;                          ///< of the step that runs
  std::vector<std::vector<std::int32_t>> coords;  ///< by output
  std::vector<StepProfile> profile;
  RunStatistics statistics;
  Outputs outputs;
  std::int64_t memory_limit = 0;
  std::unique_ptr<runtime::DeviceRun> device;  ///< of a plan for a GPU

  const Plan::Impl& compiled() const { return plan->impl(); }
  const Graph& graph() const { return compiled().model.graph(); }

  std::int64_t feature_bytes(const Geometry::Impl& g, std::size_t buffer) const;
  void forget_later_spaces(Geometry::Impl& g) const;
  void check_memory(const Geometry::Impl& g, std::int64_t held) const;
  std::int64_t held() const;
  void place_features(const Step& step, Geometry::Impl& g);
  void run_network(Geometry::Impl& g, const RunOptions& options);
  void fill_outputs(const Geometry::Impl& g, std::vector<Outputs::Entry>& entries);
};

Context::Impl::Impl(std::shared_ptr<const Plan> compiled_plan, const ContextOptions& options)
    : plan(std::move(compiled_plan)),
      executor(options.threads, options.executor),
      own(plan, {.executor = &executor.get()}),
      memory_limit(options.memory_limit) {
  RAREFY_CHECK(memory_limit >= 0, UsageError, "a memory limit of {} bytes makes no sense; 0 = none", memory_limit);
  buffers.resize(compiled().layout.buffers.size());
  coords.resize(graph().outputs().size());
  profile = runtime::profile_of(compiled());
  if (compiled().device) device = runtime::make_device_run(compiled());
}

Context::Context(std::shared_ptr<const Plan> plan, const ContextOptions& options)
    : impl_(std::make_unique<Impl>(std::move(plan), options)) {}
Context::~Context() = default;
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;

/// What a buffer of the layout takes, once its space is known.
std::int64_t Context::Impl::feature_bytes(const Geometry::Impl& g, std::size_t buffer) const {
  const runtime::BufferSpec& spec = compiled().layout.buffers[buffer];
  constexpr std::int64_t kBeyond = 4;  // the last row of bytes may be read up to a multiple of four columns
  return g.values.spaces[at(spec.space)]->rows * spec.row_bytes + kBeyond;
}

/// Spaces that features will decide: what the last run left there says nothing about this one.
void Context::Impl::forget_later_spaces(Geometry::Impl& g) const {
  const Plan::Impl& p = compiled();
  for (std::size_t s = p.steps_ahead; s < p.steps.size(); ++s)
    for (const ValueId v : graph().nodes()[at(p.steps[s].node)].outputs)
      if (graph().type(v).kind == ValueKind::space) g.values.spaces[at(v)]->rows = 0;
}

/// For the spaces that are known by now.
void Context::Impl::check_memory(const Geometry::Impl& g, std::int64_t held) const {
  std::int64_t growth = 0;
  for (std::size_t b = 0; b < buffers.size(); ++b)
    growth += std::max<std::int64_t>(0, feature_bytes(g, b) - static_cast<std::int64_t>(buffers[b].capacity()));
  if (growth > 0) runtime::require_memory(growth, held, memory_limit);
}

/// Sizes the step's output; the space is known by now.
void Context::Impl::place_features(const Step& step, Geometry::Impl& g) {
  const runtime::Placement& place = compiled().layout.places[at(step.result)];
  if (place.buffer < 0) return;
  const ValueType& type = graph().type(step.result);
  const std::int64_t rows = g.values.spaces[at(type.space)]->rows;
  AlignedBuffer& buffer = buffers[static_cast<std::size_t>(place.buffer)];
  auto* base = static_cast<std::byte*>(
      buffer.reserve(static_cast<std::size_t>(feature_bytes(g, static_cast<std::size_t>(place.buffer)))));
  const Dtype dtype = compiled().layout.dtype(graph(), step.result);
  const TensorView view{
      base + place.column * size_of(dtype), dtype, Device::cpu, rows, type.channels, place.row_stride};
  g.features[at(step.result)] = view;
  for (const ValueId v : graph().nodes()[static_cast<std::size_t>(step.node)].outputs)
    if (graph().type(v).kind == ValueKind::features) g.features[at(v)] = view;
}

void Context::Impl::run_network(Geometry::Impl& g, const RunOptions& options) {
  const Plan::Impl& p = compiled();
  start_from(g.statistics, statistics);
  for (std::size_t s = 0; s < p.steps_ahead; ++s) profile[s] = g.profile[s];
  for (std::size_t s = p.steps_ahead; s < p.steps.size(); ++s) {
    runtime::check_stop(options, profile[s].name);
    place_features(p.steps[s], g);
    runtime::run_step({p, g.values, g.features, executor.get(), scratch, statistics}, s, profile[s]);
    // A space that features decided: what its layers take is known only now.
    if (profile[s].kind != "network") check_memory(g, held());
  }
  statistics.voxels = runtime::finest_voxels(graph(), statistics.sizes);
}

void Context::Impl::fill_outputs(const Geometry::Impl& g, std::vector<Outputs::Entry>& entries) {
  const auto& wanted = graph().outputs();
  entries.resize(wanted.size());
  for (std::size_t o = 0; o < wanted.size(); ++o) {
    const ValueType& type = graph().type(wanted[o].value);
    Outputs::Entry& entry = entries[o];
    entry.name = wanted[o].name;
    entry.coords = nullptr;
    // Every kind of value lives on a space; a map's is the one that it reads.
    const runtime::SpaceValue* space = g.values.spaces[at(type.space)].get();
    switch (type.kind) {
      case ValueKind::features:
        entry.view = g.features[at(wanted[o].value)];
        break;
      case ValueKind::space:
        entry.view = {nullptr, Dtype::f32, Device::cpu, space->rows, 0, 0};
        break;
      case ValueKind::index: {
        auto& index = g.values.indices[at(wanted[o].value)]->voxel_of_point;
        entry.view = {index.data(), Dtype::i32, Device::cpu, static_cast<std::int64_t>(index.size()), 1, 1};
        break;
      }
      case ValueKind::map:
      case ValueKind::interpolation:
        fail<UnsupportedError>("output '{}' is {}: only features, indices and spaces can be read", entry.name,
                               type.kind == ValueKind::map ? "a kernel map" : "an interpolation");
    }
    if (space->coords != nullptr) {
      entry.coord_cols = 1 + space->coords->dims;
      coords[o].resize(static_cast<std::size_t>(space->rows * entry.coord_cols));
      write_coords(*space->coords, coords[o].data());
      entry.coords = &coords[o];
    }
  }
}

const Outputs& Context::run(const Inputs& inputs, const RunOptions& options) {
  impl_->own.prepare(inputs, options);
  return run(impl_->own, options);
}

const Outputs& Context::run(Geometry& geometry, const RunOptions& options) {
  Impl& c = *impl_;
  Geometry::Impl& g = *geometry.impl_;
  RAREFY_CHECK(g.plan == c.plan, UsageError, "this geometry was made for another plan: both need the same one");
  RAREFY_CHECK(g.ready, UsageError,
               "this geometry holds nothing to run: call prepare() first, and again after an error");
  if (c.device) {
    c.device->run({g.values, g.features, g.statistics}, options, c.statistics, c.profile);
    offer_device_outputs();
    return c.outputs;
  }
  const auto start = runtime::Clock::now();
  const bool foreign = &g != c.own.impl_.get();
  c.forget_later_spaces(g);
  c.check_memory(g, memory_bytes() + (foreign ? geometry.memory_bytes() : 0));
  c.run_network(g, options);
  c.fill_outputs(g, c.outputs.entries_);
  c.statistics.total_ms += runtime::ms_since(start);
  return c.outputs;
}

void Context::offer_device_outputs() {
  Impl& c = *impl_;
  const auto& wanted = c.graph().outputs();
  c.outputs.entries_.assign(wanted.size(), {});
  c.outputs.fetched_.assign(wanted.size(), 0);
  c.outputs.fetched_coords_.assign(wanted.size(), 0);
  for (std::size_t o = 0; o < wanted.size(); ++o) c.outputs.entries_[o].name = wanted[o].name;
  runtime::DeviceRun* device = c.device.get();
  c.outputs.fetch_ = [device](std::size_t o, Outputs::Entry& entry) { device->fetch(o, entry); };
  c.outputs.fetch_coords_ = [device](std::size_t o, Outputs::Entry& entry) { device->fetch_coords(o, entry); };
}

std::shared_ptr<void> Context::release_outputs() {
  if (impl_->device) {
    impl_->outputs.entries_.clear();
    return impl_->device->release();
  }
  struct Owner {
    std::vector<AlignedBuffer> buffers;
    std::vector<std::vector<std::int32_t>> indices, coords;
  };
  Impl& c = *impl_;
  Geometry::Impl& own = *c.own.impl_;
  auto owner = std::make_shared<Owner>();
  const auto take = [&owner](std::vector<AlignedBuffer>& buffers, const void* data) {
    for (AlignedBuffer& buffer : buffers) {
      const auto* begin = static_cast<const std::byte*>(buffer.data());
      const auto* at = static_cast<const std::byte*>(data);
      if (begin == nullptr || at < begin || at >= begin + buffer.capacity()) continue;
      std::swap(owner->buffers.emplace_back(), buffer);
    }
  };
  for (const Outputs::Entry& entry : c.outputs.entries_) {
    take(c.buffers, entry.view.data);
    take(own.input_buffers, entry.view.data);
    for (const auto& index : own.values.indices)
      if (index && !index->voxel_of_point.empty() && index->voxel_of_point.data() == entry.view.data)
        owner->indices.push_back(std::exchange(index->voxel_of_point, {}));
  }
  for (auto& rows : c.coords) owner->coords.push_back(std::exchange(rows, {}));
  c.outputs.entries_.clear();
  return owner;
}

const RunStatistics& Context::statistics() const { return impl_->statistics; }
const std::vector<StepProfile>& Context::profile() const { return impl_->profile; }

std::int64_t Context::Impl::held() const {
  std::int64_t bytes = own.memory_bytes() + static_cast<std::int64_t>(scratch.capacity());
  if (device) bytes += device->memory_bytes();
  for (const AlignedBuffer& b : buffers) bytes += static_cast<std::int64_t>(b.capacity());
  return bytes;
}

std::int64_t Context::memory_bytes() const { return impl_->held(); }

Session::Session(const Model& model, const SessionOptions& options)
    : plan_(Plan::compile(model, options.plan)),
      context_(plan_, {options.threads, options.executor, options.memory_limit}) {}

}  // namespace rarefy
