// rarefy-bench-peer: rarefy beside a straightforward LibTorch implementation of the same, in one process.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "base/check.h"
#include "base/cpu.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "data/formats/formats.h"
#include "kernels/conv.h"
#include "peers/environment.h"
#include "peers/peer.h"
#include "peers/rows.h"

namespace rarefy::peer {
namespace {

struct Arguments {
  std::string scan, format = "auto", only, memory_of;
  Options rows{.kinds = {"map", "convolution", "gradient", "dense", "inference", "integers", "training", "crossover"}};
  Settings settings;
  bool json = false, quick = false, no_memory = false, no_cached = false;
};

constexpr const char* kExamples =
    "  rarefy-bench-peer --scan scan.bin --threads 1\n"
    "  rarefy-bench-peer --scan scan.bin --rows convolution,map --channels 64 --levels 0 --json\n\n"
    "The peer: per kernel offset index_select, mm, index_add_ on maps from sorted int64 keys (searchsorted). Each row "
    "first proves\n"
    "that both compute the same (on integers: nearly), then times them in turns. Ratio: the peer's median over ours. "
    "Nothing is printed "
    "when\n"
    "LibTorch's matrix product is below 40 % of the peak: that would be a broken installation, not a peer.\n";

void declare(CLI::App& app, Arguments& a) {
  cli::set_examples(app, kExamples);
  app.add_option("--scan", a.scan, "Scan to compute on")->required();
  cli::add_format(app, a.format);
  app.add_option("--rows", a.rows.kinds,
                 "map, convolution, gradient, dense, inference, integers, training, crossover; a list (default: all)")
      ->delimiter(',')
      ->check(
          CLI::IsMember({"map", "convolution", "gradient", "dense", "inference", "integers", "training", "crossover"}));
  app.add_option("--channels", a.rows.channels, "Channels of single layers, a list")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  app.add_option("--levels", a.rows.levels, "How often the voxels are halved, a list: 0 to 4")
      ->delimiter(',')
      ->check(CLI::Range(0, 4));
  app.add_option("--widths", a.rows.widths, "Widths of MinkUNet, a list; the first one is trained")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--voxel", a.rows.voxel, "Voxel edge in metres")->check(CLI::PositiveNumber);
  app.add_option("--threads", a.rows.threads, "Threads of both sides (default: 1)")->check(CLI::Range(1, 1024));
  app.add_option("--seconds", a.settings.seconds, "Of repetitions per row (default: 3)")->check(CLI::PositiveNumber);
  app.add_option("--least", a.settings.least, "Repetitions per row, however long they take (default: 5)")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--no-cached", a.no_cached, "Inference with new coordinates only");
  app.add_flag("--no-memory", a.no_memory, "Do not measure memory (a fresh process per row and side)");
  app.add_flag("--quick", a.quick, "One small case of every kind, few repetitions, no memory: does all of it work?");
  app.add_option("--only", a.only, "The row of this name alone");
  app.add_option("--memory-of", a.memory_of, "ours or peer: run that side of --only twice, print its peak memory in MB")
      ->check(CLI::IsMember({"ours", "peer"}))
      ->needs("--only");
  cli::add_json(app, a.json);
}

std::vector<Contest> make_rows(Arguments& a) {
  if (a.quick) {
    a.rows.channels = {16};
    a.rows.levels = {1};
    a.rows.widths = {0.125};
    a.settings.seconds = 1e-3;
    a.settings.least = 2;
    a.no_memory = true;
  }
  a.rows.cached = !a.no_cached;
  const auto input =
      std::make_shared<Input>(load_scan(a.scan, {.format = a.format, .strict = false}), a.rows.voxel, a.rows.threads);
  std::vector<Contest> rows;
  add_layer_rows(a.rows, input, rows);
  add_network_rows(a.rows, input, rows);
  if (!a.only.empty()) {
    std::erase_if(rows, [&](const Contest& row) { return row.name != a.only; });
    RAREFY_CHECK(!rows.empty(), UsageError, "--only: there is no row '{}'", a.only);
  }
  return rows;
}

/// LibTorch's matrix product must be a good one.
double check_matrix_product(double peak) {
  const double gflops = matrix_product_gflops();
  RAREFY_CHECK(
      gflops >= 0.4 * peak, Error,
      "LibTorch's 1024 x 1024 matrix product reaches {:.0f} GFLOP/s, {:.0f} % of the peak of {:.0f}: below 40 % "
      "no ratio would be fair. Install libopenblas0-pthread and choose it: update-alternatives --config "
      "libblas.so.3-x86_64-linux-gnu",
      gflops, 100 * gflops / peak, peak);
  return gflops;
}

/// The density from which LibTorch's dense convolution is faster than our sparse one.
Json crossover(const Arguments& a) {
  cli::bench::CrossoverOptions options;
  options.threads = {a.rows.threads};
  options.channels = a.rows.channels;
  if (a.quick) options.densities = {0.1, 1.0};
  const auto dense = torch_dense();
  Json rows = Json::array();
  measure_crossover(options, dense.get(), [&](const cli::bench::CrossoverRow& row) {
    cli::check_interrupt();
    const auto density = [](const std::optional<double>& d) { return d ? Json(*d) : Json(); };
    const auto text = [](const std::optional<double>& d) { return d ? fmt::format("{:.0f} %", 100 * *d) : "never"; };
    rows.push_back({{"kernel", row.kernel},
                    {"channels", row.channels},
                    {"pattern", name(row.pattern)},
                    {"dense_ms", row.dense_ms},
                    {"dense_gflops", row.dense_gflops},
                    {"crossover", density(row.cached)},
                    {"crossover_with_map", density(row.fresh)}});
    if (!a.json)
      cli::print(
          "dense wins above density {:>5} ({:>5} with map): {} channels, {}, LibTorch {:.2f} ms, {:.0f} GFLOP/s\n",
          text(row.cached), text(row.fresh), row.channels, name(row.pattern), row.dense_ms, row.dense_gflops);
  });
  return rows;
}

void run(Arguments& a, const std::vector<std::string>& words) {
  const std::vector<Contest> rows = make_rows(a);
  if (!a.memory_of.empty()) return cli::print("{:.1f}\n", memory_of_side(rows.front(), a.memory_of, a.rows.threads));
  a.settings.threads = a.rows.threads;
  if (!a.no_memory) a.settings.memory_command = words;
  const std::string warning = cli::busy_warning();
  if (!warning.empty()) cli::notice(warning);
  cli::bench::Peak peak;
  const double product = check_matrix_product(peak.gflops());
  Json all = Json::array();
  if (!a.json) print_header(a.rows.threads);
  for (const Contest& row : rows) {
    all.push_back(run_contest(row, a.settings, peak));
    if (!a.json) print_row(all.back());
  }
  Json crossings = Json::array();
  if (a.only.empty() && wants(a.rows, "crossover")) crossings = crossover(a);
  if (!a.json)
    return cli::print("{} ({}), {:.0f} GFLOP/s peak per core; LibTorch's matrix product {:.0f}\n", cpu::model_name(),
                      name(select_conv_variant()), peak.gflops(), product);
  cli::print_json({{"cpu", cpu::model_name()},
                   {"isa", name(select_conv_variant())},
                   {"threads", a.rows.threads},
                   {"voxel", a.rows.voxel},
                   {"peak_gflops", {{"fp32", peak.gflops()}}},
                   {"matrix_product_gflops", product},
                   {"busy", !warning.empty()},
                   {"rows", all},
                   {"crossover", crossings}});
}

int guarded(int argc, char** argv) {
  CLI::App app{"Measures rarefy beside a straightforward LibTorch implementation of sparse convolution.",
               "rarefy-bench-peer"};
  Arguments arguments;
  try {
    declare(app, arguments);
    app.parse(argc, argv);
    prepare_environment(arguments.rows.threads, argv);
    cli::watch_interrupts();
    // Both sides free and make large tensors again and again: keep their pages instead of asking the system for each.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 2'000'000'000);
    run(arguments, std::vector<std::string>(argv, argv + argc));
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    cli::complain(std::string(error.what()) + " (see rarefy-bench-peer --help)");
    return cli::kUsage;
  } catch (const UsageError& error) {
    cli::complain(error.what());
    return cli::kUsage;
  } catch (const Cancelled& error) {
    cli::complain(error.what());
    return cli::kInterrupted;
  } catch (const std::exception& error) {
    cli::complain(error.what());
    return cli::kFailure;
  }
}

}  // namespace
}  // namespace rarefy::peer

int main(int argc, char** argv) { return rarefy::peer::guarded(argc, argv); }
