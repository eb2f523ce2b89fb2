// rarefy bench crossover.
#include "measure/crossover.h"

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
#include "kernels/conv.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  CrossoverOptions measure;
  std::vector<std::string> patterns;
  bool json = false;
};

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json row_json(const CrossoverRow& r) {
  Json row = {{"dims", r.dims},
              {"kernel", r.kernel},
              {"channels", r.channels},
              {"threads", r.threads},
              {"pattern", name(r.pattern)},
              {"dense_ms", r.dense_ms},
              {"dense_gflops", r.dense_gflops},
              {"crossover", optional_json(r.cached)},
              {"crossover_with_map", optional_json(r.fresh)}};
  for (const DensityTimes& t : r.times) {
    row["densities"].push_back({{"density", t.density},
                                {"voxels", t.voxels},
                                {"neighbours", t.neighbours},
                                {"ms", t.sparse_ms},
                                {"map_ms", t.map_ms}});
  }
  return row;
}

std::string density_text(const std::optional<double>& density) {
  return density ? fmt::format("{:.1f} %", 100 * *density) : "never";
}

void print_row(const CrossoverRow& r) {
  std::string kernel = std::to_string(r.kernel);
  for (int a = 1; a < r.dims; ++a) kernel += "x" + std::to_string(r.kernel);
  print("{:<7} {:>8} {:>7}  {:<8} {:>9.2f} {:>9.1f} {:>9} {:>9}\n", kernel, r.channels, r.threads, name(r.pattern),
        r.dense_ms, r.dense_gflops, density_text(r.cached), density_text(r.fresh));
}

void bench_crossover(const Options& given) {
  Options o = given;
  std::sort(o.measure.densities.begin(), o.measure.densities.end());
  o.measure.patterns.clear();
  for (const std::string& pattern : o.patterns) o.measure.patterns.push_back(pattern_of(pattern));
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  if (!o.json)
    print("{:<7} {:>8} {:>7}  {:<8} {:>9} {:>9} {:>9} {:>9}\n", "kernel", "channels", "threads", "pattern", "dense ms",
          "GFLOP/s", "crossover", "with map");
  Peak peak;
  Json rows = Json::array();
  measure_crossover(o.measure, nullptr, [&](const CrossoverRow& row) {
    check_interrupt();
    peak.measure_again();
    if (!o.json) return print_row(row);
    rows.push_back(row_json(row));
  });
  if (!o.json)
    return print("{} ({}), {:.0f} GFLOP/s peak per core; dense: {}\n", cpu::model_name(), name(select_conv_variant()),
                 peak.gflops(), own_dense()->name());
  print_json({{"cpu", cpu::model_name()},
              {"isa", name(select_conv_variant())},
              {"dense", own_dense()->name()},
              {"peak_gflops", {{"fp32", peak.gflops()}}},
              {"busy", !warning.empty()},
              {"rows", rows}});
}

}  // namespace

void declare_crossover(CLI::App& command) {
  set_examples(
      command,
      "  rarefy bench crossover                                  3x3x3, 16 to 128 channels, one thread\n"
      "  rarefy bench crossover --kernels 2,3,5 --channels 64 --threads 1,2 --json\n"
      "  rarefy bench crossover --dims 2 --channels 64\n\n"
      "Above the crossover a dense convolution of the whole grid is faster than the sparse one of its occupied "
      "cells.\n"
      "Dense is here the best case of our own kernels: every cell occupied, rows in order, no map to build; "
      "rarefy-bench-peer\n"
      "takes LibTorch's instead. Pattern `surface` is a wavy sheet grown thicker; `uniform` occupies cells at "
      "random, as no\n"
      "real data do, and stands for the worst case only. Real street scans have densities below 1 %.\n");
  auto o = std::make_shared<Options>();
  o->patterns = {"surface", "uniform"};
  CrossoverOptions& m = o->measure;
  command.add_option("--dims", m.dims, "Axes of the grid: 1, 2 or 3 (default)")->check(CLI::Range(1, 3));
  command.add_option("--kernels", m.kernels, "Kernel sizes, a list: 1 to 7 (default: 3)")
      ->delimiter(',')
      ->check(CLI::Range(1, 7));
  command.add_option("--channels", m.channels, "Channels in and out, a list (default: 16,32,64,128)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  command.add_option("--threads", m.threads, "Threads, a list (default: 1)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  command.add_option("--patterns", o->patterns, "surface, uniform (default: both)")
      ->delimiter(',')
      ->check(CLI::IsMember({"surface", "uniform"}));
  command.add_option("--densities", m.densities, "Shares of occupied cells to measure, a list in (0, 1]")
      ->delimiter(',')
      ->check(CLI::Range(1e-5, 1.0));
  add_json(command, o->json);
  command.callback([o] { bench_crossover(*o); });
}

}  // namespace rarefy::cli::bench
