// rarefy bench dataflows: what each dataflow takes, per type of layer.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "bench/bench.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "data/formats/formats.h"
#include "kernels/conv.h"
#include "measure/input.h"
#include "measure/patterns.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string scan, format = "auto";
  double voxel = 0.05;
  int threads = 0, repetitions = 7;
  bool json = false;
};

/// A layer over a map.
struct LayerType {
  std::string name;
  std::shared_ptr<KernelMap> map;
  std::int64_t in, out;
};

std::shared_ptr<KernelMap> map_between(const Coords& from, const Coords& to, const KernelShape& kernel,
                                       Executor& executor) {
  auto map = std::make_shared<KernelMap>();
  build_kernel_map(from, to, kernel, executor, *map);
  return map;
}

/// What occurs in networks over scans, and what is extreme: large kernels, dense boxes, sites at random.
std::vector<LayerType> layer_types(const Coords& finest, Executor& executor) {
  std::vector<LayerType> types;
  const auto submanifold = [&](const std::string& where, const Coords& sites, int size,
                               std::initializer_list<std::pair<std::int64_t, std::int64_t>> channels) {
    const auto map = map_between(sites, sites, {.size = {size, size, size, 1}}, executor);
    for (const auto& [in, out] : channels)
      types.push_back({fmt::format("{0}x{0}x{0}, {1}", size, where), map, in, out});
  };
  const Coords middle = halved(finest, 2, executor), coarse = halved(finest, 4, executor);
  submanifold("level 0", finest, 3, {{4, 32}, {16, 16}, {32, 32}, {96, 96}});
  submanifold("level 2", middle, 3, {{64, 64}, {128, 128}});
  submanifold("level 4", coarse, 3, {{256, 256}});
  submanifold("level 0", finest, 5, {{16, 16}, {64, 64}});
  submanifold("level 0", finest, 7, {{32, 32}});
  const Coords halves = halved(finest, 1, executor);
  const auto down = map_between(finest, halves, {.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}}, executor);
  auto up = std::make_shared<KernelMap>();
  transpose_map(*down, executor, *up);
  types.push_back({"2x2x2, level 0 to 1", down, 32, 32});
  types.push_back({"2x2x2, level 1 to 0", up, 96, 96});
  submanifold("dense box", occupied(3, 40, 1.0, Pattern::uniform), 3, {{8, 16}, {16, 16}, {64, 64}});
  submanifold("1 % of a box at random", occupied(3, 160, 0.01, Pattern::uniform), 3, {{16, 16}, {64, 64}});
  submanifold("1 % of a box at random", occupied(3, 160, 0.01, Pattern::uniform), 5, {{64, 64}});
  return types;
}

/// Medians by dataflow, in turns; the results of all must agree.
class Contest {
 public:
  Contest(const Options& o, LayerType& type, Executor& executor)
      : o_(o),
        map_(*type.map),
        type_(type),
        executor_(executor),
        x_(random_floats(map_.in_rows * type.in, 1)),
        gy_(random_floats(map_.out_rows * type.out, 2)),
        weights_(random_floats(map_.volume * type.in * type.out, 3)),
        y_(gy_.size()) {
    pack_weights(select_conv_variant(), weights_.data(), map_.volume, type.in, type.out, WeightOrder::forward, packed_);
    if (map_.volume <= SortedTiles::kMostOffsets && map_.tiles.empty()) sort_tiles(map_, executor_);
  }

  Json row() {
    Json row = {{"layer", type_.name},
                {"cin", type_.in},
                {"cout", type_.out},
                {"rows", map_.out_rows},
                {"pairs", map_.pairs()}};
    row["pairs_per_list"] =
        static_cast<double>(map_.pairs()) / static_cast<double>(std::max<std::int64_t>(1, map_.blocks() * map_.volume));
    row["waste"] =
        map_.pairs() > 0 ? static_cast<double>(map_.tiles.products()) / static_cast<double>(map_.pairs()) : 0.0;
    if (!map_.tiles.empty()) row["sort_ms"] = median(repeat([&] { sort_tiles(map_, executor_); }));
    row["forward_ms"] = in_turns([&](Dataflow dataflow) { return forward(dataflow); });
    row["weight_gradient_ms"] = in_turns([&](Dataflow dataflow) { return weight_gradient(dataflow); });
    row["default"] = name(default_dataflow());
    return row;
  }

 private:
  template <class F>
  std::vector<double> repeat(const F& f) const {
    std::vector<double> times;
    for (int i = 0; i <= o_.repetitions; ++i) {
      const double ms = timed_ms(f);
      if (i > 0) times.push_back(ms);
    }
    return times;
  }

  /// f runs in a dataflow and says which one really ran.
  template <class F>
  Json in_turns(const F& f) const {
    std::map<std::string, std::vector<double>> times;
    for (int i = 0; i <= o_.repetitions; ++i) {
      for (const Dataflow dataflow : dataflows()) {
        check_interrupt();
        bool ran = false;
        const double ms = timed_ms([&] { ran = f(dataflow); });
        if (ran && i > 0) times[std::string(name(dataflow))].push_back(ms);
      }
    }
    Json json = Json::object();
    for (const auto& [dataflow, all] : times) json[dataflow] = median(all);
    return json;
  }

  bool forward(Dataflow dataflow) {
    const Matrix<float> y(y_.data(), map_.out_rows, type_.out);
    const bool ran =
        conv_forward({x_.data(), map_.in_rows, type_.in}, packed_, &map_, {}, executor_, y, dataflow) == dataflow;
    if (expected_.empty()) expected_ = y_;
    RAREFY_CHECK(!ran || expected_ == y_, Error, "{}: the {} dataflow gives other numbers", type_.name, name(dataflow));
    return ran;
  }

  bool weight_gradient(Dataflow dataflow) {
    if (dataflow == Dataflow::stationary) return false;
    conv_weight_gradient(select_conv_variant(), {x_.data(), map_.in_rows, type_.in},
                         {gy_.data(), map_.out_rows, type_.out}, &map_, map_.volume, executor_, scratch_,
                         weights_.data(), dataflow);
    return true;
  }

  /// What runs when nobody says, in a plan: tiles are sorted only where that is expected to pay.
  Dataflow default_dataflow() const {
    const auto cost = [&](Dataflow dataflow) {
      return expected_cost(dataflow, *packed_.variant, map_, type_.in, type_.out);
    };
    const Dataflow plain =
        cost(Dataflow::on_demand) < cost(Dataflow::blocked) ? Dataflow::on_demand : Dataflow::blocked;
    return cost(Dataflow::stationary) + sorting_cost(map_) < cost(plain) ? Dataflow::stationary : plain;
  }

  const Options& o_;
  KernelMap& map_;
  const LayerType& type_;
  Executor& executor_;
  std::vector<float> x_, gy_, weights_, y_, expected_;
  PackedWeights packed_;
  AlignedBuffer scratch_;
};

std::string cell(const Json& times, const char* dataflow) {
  return times.contains(dataflow) ? fmt::format("{:.2f}", times[dataflow].get<double>()) : "-";
}

void print_row(const Json& row) {
  const Json &f = row["forward_ms"], &g = row["weight_gradient_ms"];
  print("{:<30} {:>4} {:>4} {:>8} {:>7.1f} {:>6.2f} {:>7} {:>9} {:>10} {:>9} {:>10} {:>9} {:>9}\n",
        row["layer"].get<std::string>(), row["cin"].get<int>(), row["cout"].get<int>(), row["rows"].get<std::int64_t>(),
        row["pairs_per_list"].get<double>(), row["waste"].get<double>(),
        row.contains("sort_ms") ? fmt::format("{:.2f}", row["sort_ms"].get<double>()) : "-", cell(f, "blocked"),
        cell(f, "stationary"), cell(f, "on_demand"), row["default"].get<std::string>(), cell(g, "blocked"),
        cell(g, "on_demand"));
}

void bench_dataflows(const Options& o) {
  const Scan scan = load_scan(o.scan, {.format = o.format, .strict = false});
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  const int threads = threads_or_all(o.threads);
  const auto executor = make_thread_pool(threads);
  const Coords finest = voxels_of(scan, o.voxel, *executor);
  RAREFY_CHECK(finest.rows() > 0, InputError, "{}: there is no voxel to compute on", o.scan);
  if (!o.json)
    print("{:<30} {:>4} {:>4} {:>8} {:>7} {:>6} {:>7} {:>9} {:>10} {:>9} {:>10} {:>9} {:>9}\n", "layer", "cin", "cout",
          "rows", "pairs*", "waste", "sort", "blocked", "stationary", "on demand", "default", "wg block.", "wg dem.");
  Json rows = Json::array();
  for (LayerType& type : layer_types(finest, *executor)) {
    rows.push_back(Contest(o, type, *executor).row());
    if (!o.json) print_row(rows.back());
  }
  if (!o.json) return print("Milliseconds. *: per block of output rows and kernel offset.\n");
  print_json({{"cpu", cpu::model_name()},
              {"isa", name(select_conv_variant())},
              {"threads", threads},
              {"busy", !warning.empty()},
              {"rows", rows}});
}

}  // namespace

void declare_dataflows(CLI::App& command) {
  set_examples(command,
               "  rarefy bench dataflows --scan scan.bin --threads 1\n\n"
               "Medians of each dataflow on the same layer, in turns, after all gave the same numbers. waste: products "
               "of the\nstationary dataflow per pair. default: what the cost model chooses. For a network of your own: "
               "rarefy tune.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--scan", o->scan, "Scan whose voxels are convolved")->required();
  add_format(command, o->format);
  command.add_option("--voxel", o->voxel, "Voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--repetitions", o->repetitions, "Runs of each (default: 7)")->check(CLI::Range(1, 1000));
  add_threads(command, o->threads);
  add_json(command, o->json);
  command.callback([o] { bench_dataflows(*o); });
}

}  // namespace rarefy::cli::bench
