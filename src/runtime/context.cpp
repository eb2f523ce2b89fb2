#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/text.h"
#include "runtime/memory.h"
#include "runtime/plan_impl.h"

namespace rarefy {

using runtime::GeometryValues;
using runtime::RunArgs;
using runtime::Step;
using Clock = std::chrono::steady_clock;

namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }
double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

}  // namespace

const TensorView& Outputs::operator[](std::string_view name) const { return find(name).view; }

TensorView Outputs::coords(std::string_view name) const {
  const Entry& entry = find(name);
  RAREFY_CHECK(entry.coords != nullptr, UsageError, "output '{}' has no coordinates: its rows are points", name);
  auto* data = const_cast<std::int32_t*>(entry.coords->data());
  return {data, Dtype::i32, Device::cpu, entry.view.rows, entry.coord_cols, entry.coord_cols};
}

const Outputs::Entry& Outputs::find(std::string_view name) const {
  std::vector<std::string> known;
  for (const Entry& entry : entries_) {
    if (entry.name == name) return entry;
    known.push_back(entry.name);
  }
  fail<UsageError>("there is no output '{}'{}", name, did_you_mean(name, known));
}

struct Context::Impl {
  std::shared_ptr<const Plan> plan;
  std::unique_ptr<Executor> own_executor;
  Executor* executor = nullptr;
  GeometryValues geometry;
  std::vector<TensorView> features;               ///< by ValueId
  std::vector<AlignedBuffer> buffers;             ///< by buffer of the layout
  AlignedBuffer scratch;                          ///< of the step that runs
  std::vector<AlignedBuffer> input_buffers;       ///< by input node, for layouts that must be converted
  std::vector<std::vector<std::int32_t>> orders;  ///< by input node
  std::vector<std::vector<std::int32_t>> coords;  ///< by output
  std::vector<StepProfile> profile;
  RunStatistics statistics;
  Outputs outputs;
  std::int64_t memory_limit = 0;

  const Plan::Impl& compiled() const { return plan->impl(); }
  const Graph& graph() const { return compiled().model.graph(); }

  void bind(const Inputs& inputs);
  std::int64_t feature_bytes(std::size_t buffer) const;
  void check_memory(std::int64_t held) const;
  void place_features(const Step& step);
  void run_step(std::size_t s);
  void check_points(bool strict) const;
  void count(const Step& step, StepProfile& p);
  void fill_outputs(std::vector<Outputs::Entry>& entries);
};

Context::Context(std::shared_ptr<const Plan> plan, const ContextOptions& options) : impl_(std::make_unique<Impl>()) {
  Impl& c = *impl_;
  c.plan = std::move(plan);
  RAREFY_CHECK(options.memory_limit >= 0, UsageError, "a memory limit of {} bytes makes no sense; 0 = none",
               options.memory_limit);
  c.memory_limit = options.memory_limit;
  c.executor = options.executor;
  if (c.executor == nullptr) {
    RAREFY_CHECK(options.threads >= 1, UsageError, "a context needs at least one thread, got {}", options.threads);
    if (options.threads == 1) {
      c.executor = &serial_executor();
    } else {
      c.own_executor = make_thread_pool(options.threads);
      c.executor = c.own_executor.get();
    }
  }
  const Graph& graph = c.graph();
  runtime::GeometryRunner(graph).allocate(c.geometry);
  c.features.resize(graph.values().size());
  c.buffers.resize(c.compiled().layout.buffers.size());
  c.input_buffers.resize(graph.inputs().size());
  c.orders.resize(graph.inputs().size());
  c.coords.resize(graph.outputs().size());
  for (const Step& step : c.compiled().steps)
    c.profile.push_back(
        {graph.nodes()[static_cast<std::size_t>(step.node)].name, step.label, step.op->kind, "", 0, 0, 0, 0});
}
Context::~Context() = default;
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;

void Context::Impl::bind(const Inputs& inputs) {
  const Graph& g = graph();
  const auto& pipeline = compiled().model.pipeline();
  for (const auto& [name, unused] : inputs) {
    const auto is_named = [&, &wanted = name](std::int32_t n) {
      return g.nodes()[static_cast<std::size_t>(n)].name == wanted;
    };
    if (std::any_of(g.inputs().begin(), g.inputs().end(), is_named)) continue;
    std::vector<std::string> known;
    for (const std::int32_t n : g.inputs()) known.push_back(g.nodes()[static_cast<std::size_t>(n)].name);
    fail<UsageError>("the model has no input '{}'{}", name, did_you_mean(name, known));
  }
  statistics.intensity_missing = false;
  statistics.points = 0;
  for (std::size_t i = 0; i < g.inputs().size(); ++i) {
    const Node& node = g.nodes()[static_cast<std::size_t>(g.inputs()[i])];
    const auto given =
        std::find_if(inputs.begin(), inputs.end(), [&](const auto& in) { return in.first == node.name; });
    RAREFY_CHECK(given != inputs.end(), UsageError, "input '{}' ({}) is missing", node.name, node.op);
    runtime::bind_input(g, node, given->second, pipeline ? &*pipeline : nullptr, geometry, input_buffers[i], orders[i],
                        features, &statistics.intensity_missing);
    if (node.op == "input_points") statistics.points += geometry.spaces[at(node.outputs[0])]->rows;
  }
}

/// What a buffer of the layout takes, now that the spaces are known.
std::int64_t Context::Impl::feature_bytes(std::size_t buffer) const {
  const runtime::BufferSpec& spec = compiled().layout.buffers[buffer];
  constexpr std::int64_t kBeyond = 4;  // the last row of bytes may be read up to a multiple of four columns
  return geometry.spaces[at(spec.space)]->rows * spec.row_bytes + kBeyond;
}

/// Before the first layer runs.
void Context::Impl::check_memory(std::int64_t held) const {
  std::int64_t growth = 0;
  for (std::size_t b = 0; b < buffers.size(); ++b)
    growth += std::max<std::int64_t>(0, feature_bytes(b) - static_cast<std::int64_t>(buffers[b].capacity()));
  if (growth > 0) runtime::require_memory(growth, held, memory_limit);
}

/// Sizes the step's output; the space is known by now.
void Context::Impl::place_features(const Step& step) {
  const runtime::Placement& place = compiled().layout.places[at(step.result)];
  if (place.buffer < 0) return;
  const ValueType& type = graph().type(step.result);
  const std::int64_t rows = geometry.spaces[at(type.space)]->rows;
  AlignedBuffer& buffer = buffers[static_cast<std::size_t>(place.buffer)];
  auto* base = static_cast<std::byte*>(
      buffer.reserve(static_cast<std::size_t>(feature_bytes(static_cast<std::size_t>(place.buffer)))));
  const Dtype dtype = compiled().layout.dtype(graph(), step.result);
  const TensorView view{
      base + place.column * size_of(dtype), dtype, Device::cpu, rows, type.channels, place.row_stride};
  features[at(step.result)] = view;
  for (const ValueId v : graph().nodes()[static_cast<std::size_t>(step.node)].outputs)
    if (graph().type(v).kind == ValueKind::features) features[at(v)] = view;
}

void Context::Impl::count(const Step& step, StepProfile& p) {
  const Node& node = graph().nodes()[static_cast<std::size_t>(step.node)];
  p.pairs = 0;
  for (const ValueId v : node.outputs) {
    const ValueType& type = graph().type(v);
    if (type.kind == ValueKind::space) statistics.sizes[v] = geometry.spaces[at(v)]->rows;
    if (type.kind == ValueKind::map) statistics.sizes[v] = p.pairs = geometry.maps[at(v)]->pairs();
    if (type.kind == ValueKind::features || type.kind == ValueKind::space)
      p.rows = geometry.spaces[at(type.space)]->rows;
    if (type.kind == ValueKind::index) {
      statistics.points_not_finite += geometry.indices[at(v)]->not_finite;
      statistics.points_outside += geometry.indices[at(v)]->outside;
    }
    if (type.kind == ValueKind::map) p.rows = geometry.maps[at(v)]->out_rows;
  }
  for (const ValueId v : node.inputs)
    if (graph().type(v).kind == ValueKind::map && p.pairs == 0) p.pairs = geometry.maps[at(v)]->pairs();
  p.macs = multiply_adds(graph(), node, statistics.sizes);
}

void Context::Impl::run_step(std::size_t s) {
  const Step& step = compiled().steps[s];
  StepProfile& p = profile[s];
  place_features(step);
  RunArgs args;
  args.graph = &graph();
  args.node = &graph().nodes()[static_cast<std::size_t>(step.node)];
  args.state = &step.state;
  args.fusion = &step.fusion;
  args.geometry = &geometry;
  args.features = &features;
  args.executor = executor;
  args.scratch = &scratch;
  std::string_view variant;
  args.variant = &variant;
  const auto start = Clock::now();
  step.op->run(args);
  p.ms = ms_since(start);
  p.variant = variant;
  count(step, p);
  double& group = p.kind == "voxelize" ? statistics.voxelize_ms
                  : p.kind == "maps"   ? statistics.maps_ms
                                       : statistics.network_ms;
  group += p.ms;
  statistics.macs += p.macs;
}

void Context::Impl::check_points(bool strict) const {
  const std::int64_t bad = statistics.points_not_finite + statistics.points_outside;
  RAREFY_CHECK(!strict || bad == 0, InputError,
               "{} of {} points cannot be used ({} with a NaN or infinite coordinate, {} out of range or crop); "
               "without strict mode they "
               "get label 255",
               bad, statistics.points, statistics.points_not_finite, statistics.points_outside);
}

void Context::Impl::fill_outputs(std::vector<Outputs::Entry>& entries) {
  const auto& wanted = graph().outputs();
  entries.resize(wanted.size());
  for (std::size_t o = 0; o < wanted.size(); ++o) {
    const ValueType& type = graph().type(wanted[o].value);
    Outputs::Entry& entry = entries[o];
    entry.name = wanted[o].name;
    entry.coords = nullptr;
    // Every kind of value lives on a space; a map's is the one that it reads.
    const runtime::SpaceValue* space = geometry.spaces[at(type.space)].get();
    switch (type.kind) {
      case ValueKind::features:
        entry.view = features[at(wanted[o].value)];
        break;
      case ValueKind::space:
        entry.view = {nullptr, Dtype::f32, Device::cpu, space->rows, 0, 0};
        break;
      case ValueKind::index: {
        auto& index = geometry.indices[at(wanted[o].value)]->voxel_of_point;
        entry.view = {index.data(), Dtype::i32, Device::cpu, static_cast<std::int64_t>(index.size()), 1, 1};
        break;
      }
      case ValueKind::map:
        fail<UnsupportedError>("output '{}' is a kernel map: only features, indices and spaces can be read",
                               entry.name);
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
  Impl& c = *impl_;
  const auto start = Clock::now();
  RunStatistics& s = c.statistics;
  s.voxelize_ms = s.maps_ms = s.network_ms = 0;
  s.macs = s.points_not_finite = s.points_outside = 0;
  c.bind(inputs);
  for (const std::int32_t n : c.graph().inputs()) {
    const ValueId space = c.graph().nodes()[static_cast<std::size_t>(n)].outputs[0];
    s.sizes[space] = c.geometry.spaces[at(space)]->rows;
  }
  bool geometry_done = false;
  for (std::size_t step = 0; step < c.profile.size(); ++step) {
    RAREFY_CHECK(!options.stop.stop_requested(), Cancelled, "stopped before '{}', as requested", c.profile[step].name);
    RAREFY_CHECK(!options.deadline || Clock::now() < *options.deadline, Cancelled, "the deadline passed before '{}'",
                 c.profile[step].name);
    if (!geometry_done && c.profile[step].kind == "network") {
      geometry_done = true;
      c.check_memory(memory_bytes());
    }
    c.run_step(step);
    if (c.profile[step].kind == "voxelize") c.check_points(options.strict);
    // A space that features decided: what its layers take is known only now.
    if (geometry_done && c.profile[step].kind != "network") c.check_memory(memory_bytes());
  }
  s.voxels = 0;
  for (const auto& [value, rows] : s.sizes) {
    const ValueType& type = c.graph().type(value);
    const bool finest = type.kind == ValueKind::space &&
                        std::all_of(type.stride.begin(), type.stride.end(), [](std::int64_t v) { return v == 1; });
    if (finest && type.dims > 0) s.voxels = std::max(s.voxels, rows);
  }
  c.fill_outputs(c.outputs.entries_);
  s.total_ms = ms_since(start);
  return c.outputs;
}

const RunStatistics& Context::statistics() const { return impl_->statistics; }
const std::vector<StepProfile>& Context::profile() const { return impl_->profile; }

std::int64_t Context::memory_bytes() const {
  const Impl& c = *impl_;
  std::size_t bytes = c.scratch.capacity();
  for (const AlignedBuffer& b : c.buffers) bytes += b.capacity();
  for (const AlignedBuffer& b : c.input_buffers) bytes += b.capacity();
  const auto add_sizes = [&bytes](const auto& values) {
    for (const auto& value : values)
      if (value) bytes += static_cast<std::size_t>(value->memory_bytes());
  };
  for (const auto& space : c.geometry.spaces)
    if (space)
      bytes +=
          static_cast<std::size_t>(space->own.memory_bytes()) + space->sample_begin.capacity() * sizeof(std::int64_t);
  add_sizes(c.geometry.maps);
  add_sizes(c.geometry.indices);
  return static_cast<std::int64_t>(bytes);
}

Session::Session(const Model& model, const SessionOptions& options)
    : plan_(Plan::compile(model, options.plan)),
      context_(plan_, {options.threads, options.executor, options.memory_limit}) {}

}  // namespace rarefy
