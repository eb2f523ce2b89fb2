#include "runtime/cuda/run.h"

#include <algorithm>

#include "base/check.h"
#include "runtime/cuda/ops.h"

namespace rarefy::runtime::cuda {
namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

DeviceOps make_ops() {
  DeviceOps ops;
  add_geometry_ops(ops);
  add_row_ops(ops);
  return ops;
}

Arithmetic arithmetic_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return Arithmetic::f32;
    case Precision::tf32:
      return Arithmetic::tf32;
    case Precision::bf16:
      return Arithmetic::bf16;
    default:
      return Arithmetic::f16;
  }
}

const Node& node_of(const Plan::Impl& plan, const Step& step) { return plan.model.graph().nodes()[at(step.node)]; }

/// Features of voxels straight from points keep 32 bits: they are coordinates, which 16 would round.
bool is_raw(const Graph& graph, const Node& node) {
  return node.op == "reduce" && graph.ops().at(graph.producer(node.inputs[0]).op).is_input;
}

/// Which values are kept in 16 bits (bf16 counts as f16 here: the sizes are equal).
KeptValues choose_kept(const Graph& graph, const std::vector<Step>& steps, Arithmetic arithmetic) {
  KeptValues kept(graph.values().size());
  if (size_of(arithmetic) == 4) return kept;
  for (const Step& step : steps) {
    if (step.result < 0 || is_raw(graph, graph.nodes()[at(step.node)])) continue;
    const ValueType& type = graph.type(step.result);
    if (type.kind == ValueKind::features && type.dtype == Dtype::f32) kept[at(step.result)] = Kept{Dtype::f16};
  }
  return kept;
}

/// One step after another, sites first: the host then learns all sizes at once.
class Run final : public DeviceRun {
 public:
  explicit Run(const Plan::Impl& plan);
  void run(const BoundInputs& inputs, const RunOptions& options, RunStatistics& statistics,
           std::vector<StepProfile>& profile) override;
  void fetch(std::size_t output, Outputs::Entry& entry) override;
  void fetch_coords(std::size_t output, Outputs::Entry& entry) override;
  std::shared_ptr<void> release() override;
  std::int64_t memory_bytes() const override;

 private:
  const Graph& graph() const { return plan_.model.graph(); }
  void bind(const BoundInputs& inputs);
  void run_phase(Phase phase, const RunOptions& options, std::vector<StepProfile>& profile);
  void run_step(std::size_t index, bool timed, StepProfile& profile);
  void read_sizes();
  void sort_maps();
  void read_counts();
  void place(const Step& step);
  void count(const BoundInputs& inputs, const RunOptions& options, RunStatistics& s,
             std::vector<StepProfile>& profile) const;

  const Plan::Impl& plan_;
  const DevicePlan& device_;
  OwnStream stream_;
  DeviceValues values_;
  DeviceScratch scratch_;
  std::vector<DeviceBuffer> inputs_, buffers_;
  std::vector<PinnedBuffer> outputs_;
  std::vector<std::vector<std::int32_t>> coords_;
  DeviceBuffer converted_output_;
  PinnedBuffer counts_;
  std::vector<std::int64_t*> counters_;
  std::vector<Sites*> made_sites_;
  std::vector<DeviceMap*> sorted_maps_;
  std::vector<int> splits_;
  Event begin_, voxels_end_, maps_end_, end_, step_begin_, step_end_;
};

Run::Run(const Plan::Impl& plan) : plan_(plan), device_(*plan.device) {
  const std::size_t count = graph().values().size();
  values_.spaces.resize(count);
  values_.maps.resize(count);
  values_.indices.resize(count);
  values_.interpolations.resize(count);
  values_.features.resize(count);
  for (std::size_t v = 0; v < count; ++v) {
    const ValueKind kind = graph().values()[v].type.kind;
    if (kind == ValueKind::space) values_.spaces[v] = std::make_unique<DeviceSpace>();
    if (kind == ValueKind::map) values_.maps[v] = std::make_unique<DeviceMap>();
    if (kind == ValueKind::index) values_.indices[v] = std::make_unique<DeviceIndex>();
    if (kind == ValueKind::interpolation) values_.interpolations[v] = std::make_unique<DeviceInterpolation>();
  }
  inputs_.resize(graph().inputs().size());
  buffers_.resize(plan.layout.buffers.size());
  outputs_.resize(graph().outputs().size());
  coords_.resize(graph().outputs().size());
  for (const Step& step : plan.steps) {
    const Phase phase = device_.steps[static_cast<std::size_t>(&step - plan.steps.data())].op->phase;
    const Node& node = node_of(plan, step);
    if (node.op == "sparse_conv") {
      DeviceMap* const map = values_.maps[at(node.inputs[1])].get();
      if (std::find(sorted_maps_.begin(), sorted_maps_.end(), map) == sorted_maps_.end()) sorted_maps_.push_back(map);
    }
    if (phase != Phase::voxels && phase != Phase::sites) continue;
    if (node.op == "voxelize")
      made_sites_.push_back(&values_.indices[at(node.outputs[1])]->voxels.sites);
    else if (node.op != "box")
      made_sites_.push_back(&values_.spaces[at(node.outputs[0])]->own);
  }
}

/// Copies what the caller gave to the device.
void Run::bind(const BoundInputs& inputs) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Node& node = graph().nodes()[at(graph().inputs()[i])];
    const SpaceValue& from = *inputs.values.spaces[at(node.outputs[0])];
    DeviceSpace& to = *values_.spaces[at(node.outputs[0])];
    to.rows = from.rows;
    to.sample_begin = from.sample_begin;
    to.batches = static_cast<std::int64_t>(from.sample_begin.size()) - 1;
    if (from.coords != nullptr) {
      to_device(*from.coords, stream_.get(), to.own);
      to.sites = &to.own;
    } else if (to.batches > 1) {
      std::vector<std::int32_t> sample(static_cast<std::size_t>(from.rows));
      for (std::size_t b = 0; b + 1 < from.sample_begin.size(); ++b)
        std::fill(sample.begin() + from.sample_begin[b], sample.begin() + from.sample_begin[b + 1],
                  static_cast<std::int32_t>(b));
      copy_to_device(to.sample_of_row.reserve_for<std::int32_t>(from.rows), sample.data(), from.rows * 4,
                     stream_.get());
      synchronize(stream_.get());
    }
    const TensorView& x = inputs.features[at(node.outputs[1])];
    // Rows far apart travel with what lies between them: points of a few fields more than are needed.
    const std::int64_t bytes = x.rows == 0 ? 0 : ((x.rows - 1) * x.row_stride + x.cols) * 4;
    void* rows = inputs_[i].reserve(bytes);
    copy_to_device(rows, x.data, bytes, stream_.get());
    values_.features[at(node.outputs[1])] = {rows, Type::f32, x.rows, x.cols, x.row_stride};
  }
}

void Run::place(const Step& step) {
  const Placement& place = plan_.layout.places[at(step.result)];
  if (place.buffer < 0) return;
  const ValueType& type = graph().type(step.result);
  const auto b = static_cast<std::size_t>(place.buffer);
  const BufferSpec& spec = plan_.layout.buffers[b];
  const std::int64_t rows = values_.spaces[at(type.space)]->rows;
  Matrix2d m;
  const Dtype dtype = plan_.layout.dtype(graph(), step.result);
  m.type = dtype == Dtype::u8 ? Type::u8 : dtype == Dtype::f16 ? real_type(device_.arithmetic) : Type::f32;
  m.rows = rows;
  m.cols = type.channels;
  m.stride = place.row_stride;
  m.data = static_cast<std::byte*>(buffers_[b].reserve(rows * spec.row_bytes)) + place.column * size_of(m.type);
  values_.features[at(step.result)] = m;
  for (const ValueId v : node_of(plan_, step).outputs)
    if (graph().type(v).kind == ValueKind::features) values_.features[at(v)] = m;
}

void Run::run_step(std::size_t index, bool timed, StepProfile& profile) {
  const Step& step = plan_.steps[index];
  const DeviceStep& device = device_.steps[index];
  place(step);
  std::string_view dataflow;
  const DeviceArgs args{graph(),  node_of(plan_, step), device.state, step.fusion, device_.arithmetic, values_,
                        scratch_, stream_.get(),        &dataflow};
  if (timed) step_begin_.record(stream_.get());
  device.op->run(args);
  profile.ms = 0;
  if (timed) {
    scratch_.maps.make(stream_.get());  // else all together, which is faster
    step_end_.record(stream_.get());
    step_end_.wait();
    profile.ms = step_end_.ms_since(step_begin_);
  }
  profile.variant = device.op->phase == Phase::network ? std::string(rarefy::cuda::name(device_.arithmetic)) : "";
  profile.dataflow = dataflow;
}

void Run::run_phase(Phase phase, const RunOptions& options, std::vector<StepProfile>& profile) {
  for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
    if (device_.steps[s].op->phase != phase) continue;
    check_stop(options, profile[s].name);
    run_step(s, options.time_steps, profile[s]);
  }
}

/// A run waits for the device here, and before sites that could be too many; else only at its end.
void Run::read_sizes() {
  if (made_sites_.empty()) return;
  read_rows(made_sites_, scratch_.sizes, stream_.get());
  for (auto& space : values_.spaces)
    if (space && space->sites != nullptr) space->rows = space->sites->rows;
}

/// Convolutions read the sorted form; other maps need none.
void Run::sort_maps() {
  splits_.clear();
  for (const DeviceMap* map : sorted_maps_) splits_.push_back(default_splits(map->out_rows, map->volume));
  cuda::sort_maps(sorted_maps_, splits_, stream_.get(), scratch_.sorting);
}

/// Queues copies of what `count` reads, in its order.
void Run::read_counts() {
  counters_.clear();
  for (std::size_t v = 0; v < graph().values().size(); ++v) {
    if (values_.maps[v]) counters_.push_back(values_.maps[v]->pairs.as<std::int64_t>());
    if (values_.indices[v] && graph().producer(static_cast<ValueId>(v)).op == "voxelize")
      counters_.push_back(values_.indices[v]->voxels.counters.as<std::int64_t>());  // two of 4 bytes
  }
  gather_numbers(counters_, stream_.get(),
                 counts_.reserve_for<std::int64_t>(static_cast<std::int64_t>(counters_.size())));
}

void Run::count(const BoundInputs& inputs, const RunOptions& options, RunStatistics& s,
                std::vector<StepProfile>& profile) const {
  s = {};
  s.points = inputs.statistics.points;
  s.intensity_missing = inputs.statistics.intensity_missing;
  const auto* found = counts_.as<std::int64_t>();
  for (std::size_t v = 0; v < graph().values().size(); ++v) {
    const auto value = static_cast<ValueId>(v);
    if (values_.spaces[v]) s.sizes[value] = values_.spaces[v]->rows;
    if (values_.maps[v]) s.sizes[value] = *found++;
    if (values_.indices[v] && graph().producer(value).op == "voxelize") {
      const auto* counters = reinterpret_cast<const std::int32_t*>(found++);
      s.points_not_finite += counters[0];
      s.points_outside += counters[1];
    }
  }
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    const Node& node = node_of(plan_, plan_.steps[i]);
    StepProfile& p = profile[i];
    p.macs = multiply_adds(graph(), node, s.sizes);
    p.pairs = 0;
    for (const ValueId v : node.outputs) {
      const ValueType& type = graph().type(v);
      p.rows = s.sizes.at(type.kind == ValueKind::map ? type.target : type.space);
      if (type.kind == ValueKind::map) p.pairs = s.sizes.at(v);
    }
    for (const ValueId v : node.inputs)
      if (graph().type(v).kind == ValueKind::map && p.pairs == 0) p.pairs = s.sizes.at(v);
    s.macs += p.macs;
  }
  s.voxels = finest_voxels(graph(), s.sizes);
  check_points(options.strict, s.points, s.points_not_finite, s.points_outside);
}

void Run::run(const BoundInputs& inputs, const RunOptions& options, RunStatistics& statistics,
              std::vector<StepProfile>& profile) {
  const auto start = Clock::now();
  begin_.record(stream_.get());
  scratch_.maps.clear();  // of a run that failed
  bind(inputs);
  run_phase(Phase::voxels, options, profile);
  voxels_end_.record(stream_.get());
  run_phase(Phase::sites, options, profile);
  read_sizes();
  run_phase(Phase::maps, options, profile);
  scratch_.maps.make(stream_.get());
  sort_maps();
  maps_end_.record(stream_.get());
  run_phase(Phase::network, options, profile);
  end_.record(stream_.get());
  read_counts();
  synchronize(stream_.get());
  count(inputs, options, statistics, profile);
  statistics.voxelize_ms = voxels_end_.ms_since(begin_);
  statistics.maps_ms = maps_end_.ms_since(voxels_end_);
  statistics.network_ms = end_.ms_since(maps_end_);
  statistics.total_ms = ms_since(start);
}

void Run::fetch(std::size_t output, Outputs::Entry& entry) {
  const GraphOutput& wanted = graph().outputs()[output];
  const ValueType& type = graph().type(wanted.value);
  const DeviceSpace& space = *values_.spaces[at(type.space)];
  PinnedBuffer& host = outputs_[output];
  if (type.kind == ValueKind::features) {
    Matrix2d x = values_.features[at(wanted.value)];
    const Type wanted_type = x.type == Type::u8 ? Type::u8 : Type::f32;
    if (x.type != wanted_type || x.stride != x.cols) {
      Matrix2d y{nullptr, wanted_type, x.rows, x.cols, x.cols};
      y.data = converted_output_.reserve(y.rows * y.cols * size_of(y.type));
      convert_rows(x, stream_.get(), y);
      x = y;
    }
    const std::int64_t bytes = x.rows * x.cols * size_of(x.type);
    copy_to_host(host.reserve(bytes), x.data, bytes, stream_.get());
    entry.view = {host.as<void>(), x.type == Type::u8 ? Dtype::u8 : Dtype::f32, Device::cpu, x.rows, x.cols, x.cols};
  } else if (type.kind == ValueKind::space) {
    entry.view = {nullptr, Dtype::f32, Device::cpu, space.rows, 0, 0};
  } else if (type.kind == ValueKind::index) {
    const DeviceIndex& index = *values_.indices[at(wanted.value)];
    copy_to_host(host.reserve(index.rows * 4), index.row_of, index.rows * 4, stream_.get());
    entry.view = {host.as<void>(), Dtype::i32, Device::cpu, index.rows, 1, 1};
  } else {
    fail<UnsupportedError>("output '{}' is {}: only features, indices and spaces can be read", entry.name,
                           type.kind == ValueKind::map ? "a kernel map" : "an interpolation");
  }
  synchronize(stream_.get());
}

void Run::fetch_coords(std::size_t output, Outputs::Entry& entry) {
  const DeviceSpace& space = *values_.spaces[at(graph().type(graph().outputs()[output].value).space)];
  if (space.sites == nullptr) return;
  Coords coords;
  to_host(*space.sites, stream_.get(), coords);
  entry.coord_cols = 1 + coords.dims;
  coords_[output].resize(static_cast<std::size_t>(coords.rows() * entry.coord_cols));
  write_coords(coords, coords_[output].data());
  entry.coords = &coords_[output];
}

std::shared_ptr<void> Run::release() {
  struct Owner {
    std::vector<PinnedBuffer> outputs;
    std::vector<std::vector<std::int32_t>> coords;
  };
  auto owner = std::make_shared<Owner>();
  owner->outputs.resize(outputs_.size());
  owner->coords.resize(coords_.size());
  std::swap(owner->outputs, outputs_);
  std::swap(owner->coords, coords_);
  return owner;
}

std::int64_t Run::memory_bytes() const {
  std::int64_t bytes = scratch_.workspace.capacity() + scratch_.sorting.capacity() + converted_output_.capacity();
  const auto add = [&bytes](const DeviceBuffer& b) { bytes += b.capacity(); };
  for (const DeviceBuffer& b : scratch_.converted) add(b);
  for (const DeviceBuffer& b : inputs_) add(b);
  for (const DeviceBuffer& b : buffers_) add(b);
  for (const auto& space : values_.spaces)
    if (space) bytes += space->own.memory_bytes() + space->sample_of_row.capacity();
  for (const auto& map : values_.maps)
    if (map) bytes += map->memory_bytes();
  for (const auto& index : values_.indices)
    if (index)
      bytes += index->voxels.memory_bytes() + index->located.capacity() + index->begin.capacity() +
               index->order.capacity() + index->scratch.capacity();
  for (const auto& i : values_.interpolations)
    if (i) bytes += i->row.capacity() + i->weight.capacity();
  return bytes;
}

}  // namespace

const DeviceOp* device_op(std::string_view op) {
  static const DeviceOps ops = make_ops();
  static const DeviceOp elementwise{
      Phase::network, [](const PrepareArgs& args, Arithmetic) -> std::any { return elementwise_kernel(args.node.op); },
      run_elementwise};
  const auto found = ops.find(op);
  if (found != ops.end()) return &found->second;
  return elementwise_kernel(op) != nullptr ? &elementwise : nullptr;
}

void compile(Plan::Impl& plan) {
  current_device();  // says what is missing
  auto device = std::make_shared<DevicePlan>();
  device->arithmetic = arithmetic_of(plan.options.precision);
  const Graph& graph = plan.model.graph();
  const Weights& weights = plan.model.weights();
  plan.layout = make_layout(graph, plan.steps, plan.options.share_memory,
                            choose_kept(graph, plan.steps, device->arithmetic), 16 / size_of(device->arithmetic));
  std::vector<std::string> missing;
  for (const Step& step : plan.steps) {
    const Node& node = node_of(plan, step);
    device->steps.push_back({device_op(node.op), {}});
    if (device->steps.back().op == nullptr && std::find(missing.begin(), missing.end(), node.op) == missing.end())
      missing.push_back(node.op);
  }
  RAREFY_CHECK(missing.empty(), UnsupportedError,
               "the GPU cannot run these ops of the model yet: {}; run it on the CPU", fmt::join(missing, ", "));
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    const Step& step = plan.steps[s];
    DeviceStep& there = device->steps[s];
    if (there.op->prepare == nullptr) continue;
    there.state = there.op->prepare(
        {graph, node_of(plan, step), weights, step.fusion, *plan.variant, plan.layout.kept, Dtype::f32, nullptr},
        device->arithmetic);
  }
  plan.device = std::move(device);
}

std::unique_ptr<DeviceRun> make_run(const Plan::Impl& plan) { return std::make_unique<Run>(plan); }

}  // namespace rarefy::runtime::cuda
