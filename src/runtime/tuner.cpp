#include "runtime/tuner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/check.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "runtime/geometry_impl.h"

namespace rarefy {

using runtime::Clock;
using runtime::ms_since;

namespace {

constexpr std::size_t kBlocked = 0, kStationary = 1, kOnDemand = 2;  // in the order of dataflows()

double median(std::vector<double> values) {
  if (values.empty()) return -1;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Times f() `repetitions` times after one run, ms.
template <class F>
double time_ms(int repetitions, const F& f) {
  std::vector<double> times;
  for (int i = 0; i <= repetitions; ++i) {
    const auto start = Clock::now();
    f();
    if (i > 0) times.push_back(ms_since(start));
  }
  return median(std::move(times));
}

std::vector<float> normals(std::int64_t count, std::uint64_t stream) {
  Rng rng(0x7CE, stream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(rng.normal());
  return values;
}

/// Largest difference of some rows of y from plain sums in double precision, as a share of what rounding may do.
double error_of(const KernelMap& map, Matrix<const float> x, const float* weights, Matrix<const float> y) {
  constexpr std::int64_t kRows = 48;
  double largest = 0;
  const std::int64_t step = std::max<std::int64_t>(1, y.rows / kRows);
  std::vector<double> sum(static_cast<std::size_t>(y.cols)), magnitude(sum.size());
  for (std::int64_t o = 0; o < y.rows; o += step) {
    std::fill(sum.begin(), sum.end(), 0.0);
    std::fill(magnitude.begin(), magnitude.end(), 0.0);
    const std::int64_t* begin = map.begin.data() + o / KernelMap::kBlockRows * map.volume;
    for (std::int64_t k = 0; k < map.volume; ++k) {
      for (std::int64_t p = begin[k]; p < begin[k + 1]; ++p) {
        if (map.out_row[static_cast<std::size_t>(p)] != o) continue;
        const float* from = x.row(map.in_row[static_cast<std::size_t>(p)]);
        for (std::int64_t c = 0; c < x.cols; ++c) {
          const float* w = weights + (k * x.cols + c) * y.cols;
          for (std::size_t j = 0; j < sum.size(); ++j) {
            const double term = static_cast<double>(from[c]) * w[j];
            sum[j] += term;
            magnitude[j] += std::abs(term);
          }
        }
      }
    }
    const double terms = static_cast<double>(map.volume * x.cols + 2);
    for (std::size_t j = 0; j < sum.size(); ++j) {
      const double bound = std::numeric_limits<float>::epsilon() * terms * magnitude[j] + 1e-30;
      largest = std::max(largest, std::abs(y(o, static_cast<std::int64_t>(j)) - sum[j]) / bound);
    }
  }
  return largest;
}

}  // namespace

Tuner::Tuner(const Model& model, Executor& executor, TunerOptions options)
    : model_(model), executor_(executor), options_(std::move(options)) {
  const auto plan = plan_with(nullptr);
  const Plan::Impl& compiled = plan->impl();
  const Graph& graph = model_.graph();
  for (std::size_t s = 0; s < compiled.steps.size(); ++s) {
    const Node& node = graph.nodes()[static_cast<std::size_t>(compiled.steps[s].node)];
    if (node.op != "sparse_conv" || compiled.layout.kept[static_cast<std::size_t>(node.inputs[0])] ||
        compiled.steps[s].weights_as == Dtype::f16)
      continue;
    LayerTimes times;
    times.layer = node.name;
    times.map = graph.producer(node.inputs[1]).name;
    times.in_channels = graph.type(node.inputs[0]).channels;
    times.out_channels = graph.type(node.outputs[0]).channels;
    layers_.push_back({&node, node.inputs[1], s, std::move(times)});
  }
  RAREFY_CHECK(!layers_.empty(), UsageError,
               "the model has no sparse convolution on real numbers: there is nothing to tune");
}

std::shared_ptr<const Plan> Tuner::plan_with(std::shared_ptr<const Tuning> tuning) const {
  return Plan::compile(model_, {.tuning = std::move(tuning)});
}

Tuning Tuner::blank() const {
  Tuning tuning;
  tuning.cpu = cpu::model_name();
  tuning.isa = name(select_conv_variant());
  tuning.threads = executor_.concurrency();
  tuning.model = Tuning::fingerprint(model_.graph());
  return tuning;
}

void Tuner::report(std::int64_t done, std::int64_t total) const {
  if (options_.progress) options_.progress({"runs", done, total});
}

/// The layer's map, or null when features decide it: then it exists within a run only.
const KernelMap* Tuner::map_of(const Geometry& geometry, const Layer& layer) const {
  const Plan::Impl& plan = geometry.impl_->plan->impl();
  const auto made = [&](const runtime::Step& step) {
    return step.ahead &&
           &model_.graph().nodes()[static_cast<std::size_t>(step.node)] == &model_.graph().producer(layer.map);
  };
  if (std::none_of(plan.steps.begin(), plan.steps.end(), made)) return nullptr;
  return geometry.impl_->values.maps[static_cast<std::size_t>(layer.map)].get();
}

/// Every dataflow of every layer, on the scan's own map and the layer's own weights, before anything is timed.
void Tuner::verify(const Geometry& geometry) {
  for (Layer& layer : layers_) {
    const KernelMap* map = map_of(geometry, layer);
    if (map == nullptr) continue;
    const LayerTimes& t = layer.times;
    const Tensor weight = model_.weights().resolve(layer.node->parameters[0]);
    PackedWeights packed;
    pack_weights(select_conv_variant(), weight.as<float>().data(), map->volume, t.in_channels, t.out_channels,
                 WeightOrder::forward, packed);
    const std::vector<float> x = normals(map->in_rows * t.in_channels, layer.step);
    std::vector<float> y(static_cast<std::size_t>(map->out_rows * t.out_channels));
    for (const Dataflow dataflow : dataflows()) {
      if (dataflow == Dataflow::stationary && map->tiles.empty()) continue;
      const Matrix<const float> rows(x.data(), map->in_rows, t.in_channels);
      const Matrix<float> sums(y.data(), map->out_rows, t.out_channels);
      conv_forward(rows, packed, map, {}, executor_, sums, dataflow);
      const double error = error_of(*map, rows, weight.as<float>().data(), sums);
      RAREFY_CHECK(error <= 1, Error,
                   "layer '{}' in the {} dataflow is wrong by {:.1f} times what rounding may do on this CPU: a defect "
                   "of rarefy, please report it (`rarefy bench --self-check` says more)",
                   t.layer, name(dataflow), error);
      report_.largest_error = std::max(report_.largest_error, error);
    }
  }
}

/// Whole runs of the network in each dataflow, in turns.
void Tuner::time_forward(std::span<const Inputs> scans, const RunOptions& run) {
  const std::size_t count = dataflows().size();
  std::vector<std::unique_ptr<Context>> contexts;
  for (const Dataflow dataflow : dataflows()) {
    auto tuning = std::make_shared<Tuning>(blank());
    for (const Layer& layer : layers_) tuning->layers[layer.times.layer].forward = name(dataflow);
    contexts.push_back(std::make_unique<Context>(plan_with(std::move(tuning)), ContextOptions{.executor = &executor_}));
  }
  std::map<std::pair<std::size_t, std::size_t>, std::vector<double>> times;  // by dataflow and step
  const auto total = static_cast<std::int64_t>(scans.size()) * (options_.repetitions + 1);
  std::int64_t done = 0;
  for (const Inputs& scan : scans) {
    for (int i = 0; i <= options_.repetitions; ++i, report(++done, total)) {
      for (std::size_t d = 0; d < count; ++d) {
        contexts[d]->run(scan, run);
        const auto& profile = contexts[d]->profile();
        for (std::size_t s = 0; i > 0 && s < profile.size(); ++s) times[{d, s}].push_back(profile[s].ms);
      }
    }
  }
  Context by_cost_model(plan_with(nullptr), {.executor = &executor_});
  by_cost_model.run(scans[0], run);
  for (Layer& layer : layers_) layer.times.by_cost_model = by_cost_model.profile()[layer.step].dataflow;
  for (std::size_t d = 0; d < count; ++d) {
    const auto& profile = contexts[d]->profile();
    for (Layer& layer : layers_) {
      // A dataflow that cannot be (no sorted tiles) ran as another one: it has no time of its own.
      if (profile[layer.step].dataflow != name(dataflows()[d])) continue;
      layer.times.forward[d] = median(times[{d, layer.step}]);
      layer.times.rows = profile[layer.step].rows;
      layer.times.pairs = profile[layer.step].pairs;
    }
    for (std::size_t s = 0; s < profile.size(); ++s)
      if (profile[s].kind == "maps") map_ms_[d].emplace_back(profile[s].name, median(times[{d, s}]));
  }
}

void Tuner::time_gradients(const Geometry& geometry) {
  std::int64_t done = 0;
  for (Layer& layer : layers_) {
    report(++done, static_cast<std::int64_t>(layers_.size()));
    const KernelMap* map = map_of(geometry, layer);
    if (map == nullptr) continue;
    LayerTimes& t = layer.times;
    const Tensor weight = model_.weights().resolve(layer.node->parameters[0]);
    KernelMap adjoint;
    transpose_map(*map, executor_, adjoint);
    PackedWeights packed;
    pack_weights(select_conv_variant(), weight.as<float>().data(), map->volume, t.in_channels, t.out_channels,
                 WeightOrder::transposed, packed);
    const std::vector<float> x = normals(map->in_rows * t.in_channels, layer.step);
    const std::vector<float> gy = normals(map->out_rows * t.out_channels, layer.step + 1);
    std::vector<float> gx(x.size()), gw(weight.as<float>().size());
    AlignedBuffer scratch;
    for (const std::size_t d : {kBlocked, kOnDemand}) {
      const Matrix<const float> gradient(gy.data(), map->out_rows, t.out_channels);
      t.input_gradient[d] = time_ms(options_.repetitions, [&] {
        conv_forward(gradient, packed, &adjoint, {}, executor_, {gx.data(), map->in_rows, t.in_channels},
                     dataflows()[d]);
      });
      t.weight_gradient[d] = time_ms(options_.repetitions, [&] {
        conv_weight_gradient(select_conv_variant(), {x.data(), map->in_rows, t.in_channels}, gradient, map, map->volume,
                             executor_, scratch, gw.data(), dataflows()[d]);
      });
    }
  }
}

namespace {

/// The fastest of the candidates that were timed; `first` unless another is clearly faster.
std::size_t fastest(const std::array<double, 3>& ms, std::size_t first, std::initializer_list<std::size_t> candidates,
                    double threshold) {
  std::size_t best = first;
  for (const std::size_t d : candidates)
    if (ms[d] >= 0 && (ms[best] < 0 || ms[d] < (best == first ? threshold : 1) * ms[best])) best = d;
  return best;
}

std::size_t index_of(std::string_view dataflow) {
  std::size_t d = 0;
  while (name(dataflows()[d]) != dataflow) ++d;
  return d;
}

}  // namespace

void Tuner::choose() {
  report_.tuning = blank();
  std::map<ValueId, double> saved;  // by sorted tiles of a map
  for (const auto& [map, ms] : map_ms_[kStationary]) {
    const auto plain = std::find_if(map_ms_[kBlocked].begin(), map_ms_[kBlocked].end(),
                                    [&, &wanted = map](const auto& entry) { return entry.first == wanted; });
    for (const Layer& layer : layers_)
      if (layer.times.map == map) saved[layer.map] = plain->second - ms;
  }
  for (const Layer& layer : layers_) {
    const auto& ms = layer.times.forward;
    const double others = ms[fastest(ms, kBlocked, {kOnDemand}, 1)];
    if (ms[kStationary] >= 0) saved[layer.map] += std::max(0.0, others - ms[kStationary]);
  }
  for (const Layer& layer : layers_) {
    const LayerTimes& t = layer.times;
    const bool tiles = saved[layer.map] > 0;
    Tuning::Layer& choice = report_.tuning.layers[t.layer];
    std::size_t chosen = index_of(t.by_cost_model);
    if (chosen == kStationary && !tiles) chosen = kBlocked;
    chosen = tiles ? fastest(t.forward, chosen, {kBlocked, kOnDemand, kStationary}, options_.threshold)
                   : fastest(t.forward, chosen, {kBlocked, kOnDemand}, options_.threshold);
    choice.forward = name(dataflows()[chosen]);
    if (t.input_gradient[kBlocked] >= 0) {
      const auto of = [&](const std::array<double, 3>& ms) {
        return name(dataflows()[fastest(ms, kBlocked, {kOnDemand}, options_.threshold)]);
      };
      choice.input_gradient = of(t.input_gradient);
      choice.weight_gradient = of(t.weight_gradient);
    }
    report_.tuning.scan[t.map + ".rows"] = t.rows;
    report_.tuning.scan[t.map + ".pairs"] = t.pairs;
  }
}

/// The tuned network against the cost model's choices, in turns.
void Tuner::compare(std::span<const Inputs> scans, const RunOptions& run) {
  Context chosen(plan_with(nullptr), {.executor = &executor_});
  Context tuned(plan_with(std::make_shared<Tuning>(report_.tuning)), {.executor = &executor_});
  std::vector<double> chosen_ms, tuned_ms;
  const auto total = static_cast<std::int64_t>(scans.size()) * (options_.repetitions + 1);
  std::int64_t done = 0;
  for (const Inputs& scan : scans) {
    for (int i = 0; i <= options_.repetitions; ++i, report(++done, total)) {
      chosen.run(scan, run);
      tuned.run(scan, run);
      if (i == 0) continue;
      chosen_ms.push_back(chosen.statistics().total_ms);
      tuned_ms.push_back(tuned.statistics().total_ms);
    }
  }
  report_.default_ms = median(std::move(chosen_ms));
  report_.tuned_ms = median(std::move(tuned_ms));
  report_.pays = report_.tuned_ms < options_.gain * report_.default_ms;
  if (report_.pays) return;
  for (auto& [node, layer] : report_.tuning.layers) layer.forward = name(Dataflow::automatic);
}

TuneReport Tuner::run(std::span<const Inputs> scans, const RunOptions& run) {
  RAREFY_CHECK(!scans.empty(), UsageError, "tuning needs at least one scan");
  auto sorted = std::make_shared<Tuning>(blank());
  for (const Layer& layer : layers_) sorted->layers[layer.times.layer].forward = name(Dataflow::stationary);
  Geometry geometry(plan_with(std::move(sorted)), {.executor = &executor_});
  geometry.prepare(scans[0], run);
  verify(geometry);
  time_forward(scans, run);
  if (options_.gradients == TuneGradients::yes) time_gradients(geometry);
  choose();
  compare(scans, run);
  for (Layer& layer : layers_) report_.layers.push_back(layer.times);
  return report_;
}

}  // namespace rarefy
