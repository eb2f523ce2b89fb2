// rarefy bench ablation: what each idea gained, measured by leaving it out.
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/check.h"
#include "base/cpu.h"
#include "bench/bench.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "data/formats/formats.h"
#include "kernels/conv.h"
#include "measure/input.h"
#include "rarefy/session.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string scan, format = "auto";
  double voxel = 0.05, width = 0.5;
  std::int64_t channels = 64;
  std::vector<int> levels{0, 3};
  int threads = 0, repetitions = 7;
  bool json = false;
};

/// Medians of two functions that return milliseconds, in turns.
template <class F, class G>
Json compared(const Options& o, const std::string& where, const std::string& idea, const std::string& instead,
              const F& with, const G& without) {
  std::vector<double> times, other;
  for (int i = 0; i <= o.repetitions; ++i) {
    check_interrupt();
    const double a = with(), b = without();
    if (i == 0) continue;  // warm-up
    times.push_back(a);
    other.push_back(b);
  }
  const double ms = median(times), without_ms = median(other);
  return {{"where", where},           {"idea", idea},           {"instead", instead}, {"ms", ms},
          {"without_ms", without_ms}, {"gain", without_ms / ms}};
}

void check_same(const std::string& what, std::span<const float> a, std::span<const float> b) {
  RAREFY_CHECK(a.size() == b.size(), Error, "{}: {} values without the idea, {} with it", what, b.size(), a.size());
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  RAREFY_CHECK(difference <= 1e-4 * largest, Error, "{}: without the idea the result differs by {:.1e} of the largest",
               what, difference / largest);
}

/// Pairs of rows by kernel offset.
using PairLists = std::vector<std::vector<std::pair<std::int32_t, std::int32_t>>>;  // input row, output row

/// The usual dataflow: per offset all input rows gathered, multiplied (by our own kernel) and added to their output
/// rows.
class GatherScatter {
 public:
  GatherScatter(const KernelMap& map, const std::vector<float>& weights, std::int64_t channels, Executor& executor)
      : channels_(channels), executor_(executor), pairs_(static_cast<std::size_t>(map.volume)) {
    for (std::int64_t b = 0; b < map.blocks(); ++b) {
      for (std::int64_t k = 0; k < map.volume; ++k) {
        const auto at = static_cast<std::size_t>(b * map.volume + k);
        for (std::int64_t p = map.begin[at]; p < map.begin[at + 1]; ++p)
          pairs_[static_cast<std::size_t>(k)].emplace_back(map.in_row[static_cast<std::size_t>(p)],
                                                           map.out_row[static_cast<std::size_t>(p)]);
      }
    }
    std::size_t most = 0;
    for (const auto& list : pairs_) most = std::max(most, list.size());
    from_.resize(most * static_cast<std::size_t>(channels));
    to_.resize(from_.size());
    packed_.resize(pairs_.size());
    for (std::size_t k = 0; k < pairs_.size(); ++k)
      pack_weights(select_conv_variant(), weights.data() + static_cast<std::int64_t>(k) * channels * channels, 1,
                   channels, channels, WeightOrder::forward, packed_[k]);
  }

  void run(const std::vector<float>& x, std::vector<float>& y) {
    std::fill(y.begin(), y.end(), 0.0f);
    for (std::size_t k = 0; k < pairs_.size(); ++k) {
      const auto& pairs = pairs_[k];
      const auto rows = static_cast<std::int64_t>(pairs.size());
      if (rows == 0) continue;
      for_rows(rows, [&](std::int64_t r) {
        const float* row = x.data() + pairs[static_cast<std::size_t>(r)].first * channels_;
        std::copy(row, row + channels_, from_.data() + r * channels_);
      });
      conv_forward({from_.data(), rows, channels_}, packed_[k], nullptr, {}, executor_, {to_.data(), rows, channels_});
      for_rows(rows, [&](std::int64_t r) {  // the output rows of an offset are distinct
        float* row = y.data() + pairs[static_cast<std::size_t>(r)].second * channels_;
        for (std::int64_t c = 0; c < channels_; ++c) row[c] += to_[static_cast<std::size_t>(r * channels_ + c)];
      });
    }
  }

 private:
  template <class F>
  void for_rows(std::int64_t rows, const F& f) {
    constexpr std::int64_t kPart = 512;
    executor_.parallel_for((rows + kPart - 1) / kPart, [&](std::int64_t part, int) {
      for (std::int64_t r = part * kPart; r < std::min(rows, (part + 1) * kPart); ++r) f(r);
    });
  }

  std::int64_t channels_;
  Executor& executor_;
  PairLists pairs_;
  std::vector<float> from_, to_;
  std::vector<PackedWeights> packed_;
};

/// A 3x3x3 map by looking each neighbour's key up.
template <class Find>
PairLists searched(const Coords& sites, Executor& executor, const Find& find) {
  const KernelShape kernel;
  const KeyLayout layout = key_layout(3);
  PairLists lists(static_cast<std::size_t>(kernel.volume()));
  executor.parallel_for(kernel.volume(), [&](std::int64_t k, int) {
    Extent offset = kernel.offset(k);
    for (std::size_t a = 0; a < 3; ++a) offset[a] *= sites.stride[a];
    const std::uint64_t delta = key_delta(layout, offset.data());
    for (std::int64_t r = 0; r < sites.rows(); ++r) {
      const std::int32_t in = find(sites.keys[static_cast<std::size_t>(r)] + delta);
      if (in >= 0) lists[static_cast<std::size_t>(k)].emplace_back(in, static_cast<std::int32_t>(r));
    }
  });
  return lists;
}

PairLists by_binary_search(const Coords& sites, Executor& executor) {
  const auto& keys = sites.keys;
  return searched(sites, executor, [&keys](std::uint64_t key) {
    const auto found = std::lower_bound(keys.begin(), keys.end(), key);
    return found != keys.end() && *found == key ? static_cast<std::int32_t>(found - keys.begin()) : -1;
  });
}

PairLists by_hash_table(const Coords& sites, Executor& executor) {
  std::unordered_map<std::uint64_t, std::int32_t> rows;
  rows.reserve(sites.keys.size());
  for (std::size_t r = 0; r < sites.keys.size(); ++r) rows.emplace(sites.keys[r], static_cast<std::int32_t>(r));
  return searched(sites, executor, [&rows](std::uint64_t key) {
    const auto found = rows.find(key);
    return found == rows.end() ? -1 : found->second;
  });
}

std::int64_t count(const PairLists& lists) {
  std::int64_t sum = 0;
  for (const auto& list : lists) sum += static_cast<std::int64_t>(list.size());
  return sum;
}

/// The same sites and one more, far from all others: a map to it has the same pairs, but is not one of equal sites,
/// whose mirrored offsets are built together.
Coords with_lone_site(Coords sites) {
  const Extent far{0, 0, 64 * sites.stride[2], 0};
  sites.keys.push_back(sites.keys.back() + key_delta(key_layout(3), far.data()));
  ++sites.batch_begin.back();
  return sites;
}

void layer_rows(const Options& o, const Coords& finest, int number, Executor& executor, Json& rows) {
  const Coords sites = halved(finest, number, executor), longer = with_lone_site(sites);
  const std::string where = fmt::format("level {}, {} voxels", number, sites.rows());
  KernelMap map, whole;
  const auto ours = [&] { return timed_ms([&] { build_kernel_map(sites, sites, {}, executor, map); }); };
  const auto unmirrored = [&] { return timed_ms([&] { build_kernel_map(sites, longer, {}, executor, whole); }); };
  rows.push_back(
      compared(o, "map, " + where, "mirrored offsets are built together", "every offset by itself", ours, unmirrored));
  PairLists lists;
  rows.push_back(compared(o, "map, " + where, "sorted runs are merged, unmirrored", "binary search per neighbour",
                          unmirrored, [&] { return timed_ms([&] { lists = by_binary_search(sites, executor); }); }));
  RAREFY_CHECK(count(lists) == map.pairs() && whole.pairs() == map.pairs(), Error,
               "binary search finds {} pairs, all offsets by themselves {}, our map {}", count(lists), whole.pairs(),
               map.pairs());
  rows.push_back(compared(o, "map, " + where, "sorted runs are merged, unmirrored", "hash table", unmirrored,
                          [&] { return timed_ms([&] { lists = by_hash_table(sites, executor); }); }));
  RAREFY_CHECK(count(lists) == map.pairs(), Error, "the hash table finds {} pairs, our map {}", count(lists),
               map.pairs());

  const std::int64_t n = sites.rows(), c = o.channels;
  const std::vector<float> x = random_floats(n * c, 1), weights = random_floats(map.volume * c * c, 2);
  std::vector<float> y(x.size()), other(x.size());
  PackedWeights packed;
  pack_weights(select_conv_variant(), weights.data(), map.volume, c, c, WeightOrder::forward, packed);
  GatherScatter usual(map, weights, c, executor);
  rows.push_back(compared(
      o, fmt::format("convolution, {} channels, {}", c, where), "blocks stay in cache, rows read where they lie",
      "per offset gather, multiply (same kernel), scatter",
      [&] { return timed_ms([&] {
              conv_forward({x.data(), n, c}, packed, &map, {}, executor, {y.data(), n, c});
            }); },
      [&] { return timed_ms([&] { usual.run(x, other); }); }));
  check_same("convolution", y, other);
}

/// MinkUNet compiled in two ways.
void network_rows(const Options& o, const Scan& scan, Executor& executor, Json& rows) {
  const std::vector<float> points = interleaved(scan);
  const PointView view = view_of(points);
  const Model model = build_model("minkunet", o.width, o.voxel);
  const std::string where = fmt::format("MinkUNet {}x", o.width);
  Session best(model, {.executor = &executor});
  const auto run = [&](Session& session) {
    session.run({{"points", view}});
    return session.statistics().total_ms;
  };
  const auto against = [&](const std::string& idea, const std::string& instead, const PlanOptions& plan) {
    Session other(model, {.executor = &executor, .plan = plan});
    Json row = compared(
        o, where, idea, instead, [&] { return run(best); }, [&] { return run(other); });
    row["mb"] = 1e-6 * static_cast<double>(best.context().memory_bytes());
    row["without_mb"] = 1e-6 * static_cast<double>(other.context().memory_bytes());
    check_same(where + ", " + instead, best.run({{"points", view}})["logits"].as<float>(),
               other.run({{"points", view}})["logits"].as<float>());
    rows.push_back(row);
  };
  against("norm, residual, activation in the convolution", "one step per node", {.fuse = false});
  against("buffers are used again", "a buffer per value", {.share_memory = false});
  for (const cpu::Isa isa : {cpu::Isa::avx2, cpu::Isa::portable})
    if (isa < cpu::allowed_isa())
      against(fmt::format("{} kernels", cpu::name(cpu::allowed_isa())), fmt::format("{} kernels", cpu::name(isa)),
              {.isa = std::string(cpu::name(isa))});
}

void print_row(const Json& row) {
  print("{:<44} {:<47} {:<51} {:>8.2f} {:>9.2f} {:>6.2f}{}\n", row["where"].get<std::string>(),
        row["idea"].get<std::string>(), row["instead"].get<std::string>(), row["ms"].get<double>(),
        row["without_ms"].get<double>(), row["gain"].get<double>(),
        row.contains("mb")
            ? fmt::format("   {:.0f} MB, {:.0f}", row["mb"].get<double>(), row["without_mb"].get<double>())
            : "");
}

void bench_ablation(const Options& o) {
  const Scan scan = load_scan(o.scan, {.format = o.format, .strict = false});
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  const int threads = threads_or_all(o.threads);
  const auto executor = make_thread_pool(threads);
  const Coords finest = voxels_of(scan, o.voxel, *executor);
  RAREFY_CHECK(finest.rows() > 0, InputError, "{}: there is no voxel to compute on", o.scan);
  Json rows = Json::array();
  for (const int level : o.levels) layer_rows(o, finest, level, *executor, rows);
  network_rows(o, scan, *executor, rows);
  if (o.json)
    return print_json({{"cpu", cpu::model_name()},
                       {"isa", name(select_conv_variant())},
                       {"threads", threads},
                       {"busy", !warning.empty()},
                       {"rows", rows}});
  print("{:<44} {:<47} {:<51} {:>8} {:>9} {:>6}\n", "", "idea", "instead", "ms", "without", "gain");
  for (const Json& row : rows) print_row(row);
}

}  // namespace

void declare_ablation(CLI::App& command) {
  set_examples(command,
               "  rarefy bench ablation --scan scan.bin --threads 1\n\n"
               "What each idea gained: medians with it and without it, in turns, after both gave the same result.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--scan", o->scan, "Scan to compute on")->required();
  add_format(command, o->format);
  command.add_option("--channels", o->channels, "Channels of the single layers")->check(CLI::Range(1, 4096));
  command.add_option("--levels", o->levels, "Of the single layers: how often the voxels are halved, a list")
      ->delimiter(',')
      ->check(CLI::Range(0, 4));
  command.add_option("--width", o->width, "Width of MinkUNet")->check(CLI::PositiveNumber);
  command.add_option("--voxel", o->voxel, "Voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--repetitions", o->repetitions, "Runs of each (default: 7)")->check(CLI::Range(1, 1000));
  add_threads(command, o->threads);
  add_json(command, o->json);
  command.callback([o] { bench_ablation(*o); });
}

}  // namespace rarefy::cli::bench
