// Running one step of a plan, with its time and work.
#include <algorithm>

#include "base/check.h"
#include "runtime/geometry_impl.h"

namespace rarefy::runtime {
namespace {

std::size_t at(ValueId value) { return static_cast<std::size_t>(value); }

/// The output by which the pairs of an op are known: its first that is no space, whose size is its rows.
ValueId made_of(const Graph& graph, const Node& node) {
  return *std::find_if(node.outputs.begin(), node.outputs.end(),
                       [&](ValueId v) { return graph.type(v).kind != ValueKind::space; });
}

/// Rows and pairs of what a step made, and its multiply-adds.
void count(const StepSurroundings& around, const RuntimeOp& op, const RunArgs& args, StepProfile& p) {
  const Node& node = *args.node;
  const Graph& graph = around.plan.model.graph();
  RunStatistics& s = around.statistics;
  p.pairs = 0;
  for (const ValueId v : node.outputs) {
    const ValueType& type = graph.type(v);
    if (type.kind == ValueKind::space) s.sizes[v] = around.values.spaces[at(v)]->rows;
    if (type.kind == ValueKind::map) s.sizes[v] = p.pairs = around.values.maps[at(v)]->pairs();
    if (type.kind == ValueKind::features || type.kind == ValueKind::space)
      p.rows = around.values.spaces[at(type.space)]->rows;
    if (type.kind == ValueKind::index) {
      s.points_not_finite += around.values.indices[at(v)]->not_finite;
      s.points_outside += around.values.indices[at(v)]->outside;
    }
    if (type.kind == ValueKind::map) p.rows = around.values.maps[at(v)]->out_rows;
  }
  for (const ValueId v : node.inputs)
    if (graph.type(v).kind == ValueKind::map && p.pairs == 0) p.pairs = around.values.maps[at(v)]->pairs();
  if (op.pairs) s.sizes[made_of(graph, node)] = p.pairs = op.pairs(args);
  p.macs = multiply_adds(graph, node, s.sizes);
}

}  // namespace

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

OwnExecutor::OwnExecutor(int threads, Executor* given) : executor_(given) {
  if (given != nullptr) return;
  RAREFY_CHECK(threads >= 1, UsageError, "a context needs at least one thread, got {}", threads);
  if (threads > 1) own_ = make_thread_pool(threads);
  executor_ = own_ ? own_.get() : &serial_executor();
}

void run_step(const StepSurroundings& around, std::size_t index, StepProfile& p) {
  const Step& step = around.plan.steps[index];
  const Graph& graph = around.plan.model.graph();
  RunArgs args;
  args.graph = &graph;
  args.node = &graph.nodes()[static_cast<std::size_t>(step.node)];
  args.state = &step.state;
  args.fusion = &step.fusion;
  args.geometry = &around.values;
  args.features = &around.features;
  args.executor = &around.executor;
  args.scratch = &around.scratch;
  std::string_view variant;
  args.variant = &variant;
  std::string_view dataflow;
  args.dataflow = &dataflow;
  args.thin = around.thin;
  const auto start = Clock::now();
  step.op->run(args);
  p.ms = ms_since(start);
  p.variant = variant;
  p.dataflow = dataflow;
  count(around, *step.op, args, p);
  double& group = p.kind == "voxelize" ? around.statistics.voxelize_ms
                  : p.kind == "maps"   ? around.statistics.maps_ms
                                       : around.statistics.network_ms;
  group += p.ms;
  around.statistics.macs += p.macs;
}

std::vector<StepProfile> profile_of(const Plan::Impl& plan) {
  std::vector<StepProfile> profile;
  for (const Step& step : plan.steps) {
    const std::string& name = plan.model.graph().nodes()[static_cast<std::size_t>(step.node)].name;
    profile.push_back({name, step.label, step.kind, "", "", 0, 0, 0, 0, {}});
    const auto kept = plan.model.notes.find("kept_real." + name);  // written by compress/choose_bits.h
    if (kept != plan.model.notes.end()) profile.back().note = "kept real numbers: " + kept->second;
  }
  return profile;
}

void check_stop(const RunOptions& options, std::string_view before) {
  RAREFY_CHECK(!options.stop.stop_requested(), Cancelled, "stopped before '{}', as requested", before);
  RAREFY_CHECK(!options.deadline || Clock::now() < *options.deadline, Cancelled, "the deadline passed before '{}'",
               before);
}

void check_points(bool strict, std::int64_t points, std::int64_t not_finite, std::int64_t outside) {
  const std::int64_t bad = not_finite + outside;
  RAREFY_CHECK(!strict || bad == 0, InputError,
               "{} of {} points cannot be used ({} with a NaN or infinite coordinate, {} out of range or crop); "
               "without strict mode they get label 255",
               bad, points, not_finite, outside);
}

std::int64_t finest_voxels(const Graph& graph, const Sizes& sizes) {
  std::int64_t voxels = 0;
  for (const auto& [value, rows] : sizes) {
    const ValueType& type = graph.type(value);
    const bool finest = type.kind == ValueKind::space && type.dims > 0 &&
                        std::all_of(type.stride.begin(), type.stride.end(), [](std::int64_t v) { return v == 1; });
    if (finest) voxels = std::max(voxels, rows);
  }
  return voxels;
}

}  // namespace rarefy::runtime
