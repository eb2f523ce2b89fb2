// The part of a run that needs coordinates only.
#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "runtime/geometry_impl.h"

namespace rarefy {
namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

}  // namespace

Geometry::Impl::Impl(std::shared_ptr<const Plan> compiled_plan, const GeometryOptions& options)
    : plan(std::move(compiled_plan)), executor(options.threads, options.executor) {
  runtime::GeometryRunner(graph()).allocate(values);
  features.resize(graph().values().size());
  input_buffers.resize(graph().inputs().size());
  orders.resize(graph().inputs().size());
  profile = runtime::profile_of(plan->impl());
}

void Geometry::Impl::bind(const Inputs& inputs) {
  const Graph& g = graph();
  const auto& pipeline = plan->impl().model.pipeline();
  const auto name_of = [&](std::int32_t n) -> const std::string& {
    return g.nodes()[static_cast<std::size_t>(n)].name;
  };
  for (const auto& input : inputs) {
    const std::string& name = input.first;
    const bool found = std::any_of(g.inputs().begin(), g.inputs().end(), [&](auto n) { return name_of(n) == name; });
    if (found) continue;
    std::vector<std::string> known;
    for (const std::int32_t n : g.inputs()) known.push_back(name_of(n));
    fail<UsageError>("the model has no input '{}'{}", name, did_you_mean(name, known));
  }
  for (std::size_t i = 0; i < g.inputs().size(); ++i) {
    const Node& node = g.nodes()[static_cast<std::size_t>(g.inputs()[i])];
    const auto given =
        std::find_if(inputs.begin(), inputs.end(), [&](const auto& in) { return in.first == node.name; });
    RAREFY_CHECK(given != inputs.end(), UsageError, "input '{}' ({}) is missing", node.name, node.op);
    runtime::bind_input(g, node, given->second, pipeline ? &*pipeline : nullptr, values, input_buffers[i], orders[i],
                        features, &statistics.intensity_missing);
    const std::int64_t rows = values.spaces[at(node.outputs[0])]->rows;
    if (node.op == "input_points") statistics.points += rows;
    statistics.sizes[node.outputs[0]] = rows;
  }
}

Geometry::Geometry(std::shared_ptr<const Plan> plan, const GeometryOptions& options)
    : impl_(std::make_unique<Impl>(std::move(plan), options)) {}
Geometry::~Geometry() = default;
Geometry::Geometry(Geometry&&) noexcept = default;
Geometry& Geometry::operator=(Geometry&&) noexcept = default;

void Geometry::prepare(const Inputs& inputs, const RunOptions& options) {
  Impl& g = *impl_;
  const auto start = runtime::Clock::now();
  RunStatistics& s = g.statistics;
  g.ready = false;
  const Thinning& thinning = options.thinning;
  RAREFY_CHECK(thinning.most >= 0 && thinning.share >= 0.0 && thinning.share <= 1.0, UsageError,
               "a share of {} of the voxels, {} at most, makes no sense: expected 0 to 1, and no negative number",
               thinning.share, thinning.most);
  s.voxelize_ms = s.maps_ms = s.network_ms = 0;
  s.macs = s.points = s.points_not_finite = s.points_outside = 0;
  s.intensity_missing = false;
  RAREFY_CHECK(!g.plan->impl().device || !options.thinning.active(), UnsupportedError,
               "voxels cannot be left out ahead of the network on a GPU yet: run it on the CPU");
  g.thin.wanted = options.thinning;
  g.thin.left_out = 0;
  g.bind(inputs);
  const Plan::Impl& plan = g.plan->impl();
  const std::size_t ahead = plan.device ? 0 : plan.steps_ahead;  // a GPU makes geometry where it runs the network
  for (std::size_t step = 0; step < ahead; ++step) {
    runtime::check_stop(options, g.profile[step].name);
    runtime::run_step({plan, g.values, g.features, g.executor.get(), g.scratch, s, &g.thin}, step, g.profile[step]);
    if (g.profile[step].kind == "voxelize")
      runtime::check_points(options.strict, s.points, s.points_not_finite, s.points_outside);
  }
  s.voxels = runtime::finest_voxels(g.graph(), s.sizes);
  s.voxels_left_out = g.thin.left_out;
  s.total_ms = runtime::ms_since(start);
  g.ready = true;
}

const RunStatistics& Geometry::statistics() const { return impl_->statistics; }

std::int64_t Geometry::memory_bytes() const {
  std::size_t bytes = impl_->scratch.capacity();
  for (const AlignedBuffer& b : impl_->input_buffers) bytes += b.capacity();
  for (const auto& space : impl_->values.spaces)
    if (space)
      bytes +=
          static_cast<std::size_t>(space->own.memory_bytes()) + space->sample_begin.capacity() * sizeof(std::int64_t);
  for (const auto& map : impl_->values.maps)
    if (map) bytes += static_cast<std::size_t>(map->memory_bytes());
  for (const auto& index : impl_->values.indices)
    if (index) bytes += static_cast<std::size_t>(index->memory_bytes());
  for (const auto& interpolation : impl_->values.interpolations)
    if (interpolation) bytes += static_cast<std::size_t>(interpolation->memory_bytes());
  return static_cast<std::int64_t>(bytes);
}

}  // namespace rarefy
