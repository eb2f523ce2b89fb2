// rarefy bench scale.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "bench/bench.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "common/sizes.h"
#include "data/formats/formats.h"
#include "measure/input.h"
#include "measure/scene.h"
#include "rarefy/models.h"
#include "rarefy/session.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string builder = "minkunet", model, scan, format = "auto";
  std::vector<std::int64_t> points{1000, 10000, 100000, 1000000};
  double width = 0.5, voxel = 0.05;
  int threads = 1, repetitions = 0;
  bool json = false;
};

/// One size, in the process that it is called in.
Json measure(const Options& o, std::int64_t count) {
  const Model model = o.model.empty() ? build_model(o.builder, o.width, o.voxel) : Model::load(o.model);
  const double voxel = model.pipeline() ? model.pipeline()->voxel_size[0] : o.voxel;
  std::vector<float> points;
  {
    const Scan scan = load_scan(o.scan, {.format = o.format, .strict = false});
    points = make_scene(scan, count, voxel);
  }
  const PointView view = view_of(points);
  Session session(model, {.threads = o.threads});
  Peak peak;
  std::vector<double> total, network, first_parts;
  double spent = 0;
  while (static_cast<int>(total.size()) < (o.repetitions > 0 ? o.repetitions : 50)) {
    session.run({{"points", view}}, {.stop = interrupt_token()});
    const RunStatistics& s = session.statistics();
    total.push_back(s.total_ms);
    network.push_back(s.network_ms);
    first_parts.push_back(s.voxelize_ms + s.maps_ms);
    spent += total.back();
    peak.measure_again();
    if (o.repetitions == 0 && total.size() >= 3 && spent > 3000) break;
  }
  const RunStatistics& s = session.statistics();
  const double peak_gflops = peak.gflops() * o.threads;
  return {{"points", count},
          {"voxels", s.voxels},
          {"macs", s.macs},
          {"ms", median(total)},
          {"maps_ms", median(first_parts)},
          {"network_ms", median(network)},
          {"arithmetic_ms", 2e-6 * static_cast<double>(s.macs) / peak_gflops},
          {"gflops", 2e-6 * static_cast<double>(s.macs) / median(total)},
          {"peak_gflops", peak_gflops},
          {"peak_memory_mb", peak_memory_mb()},
          {"expected_memory_mb", expected_memory_mb(model, session.plan(), s.sizes, count)}};
}

/// The same in a process of its own, whose peak memory is that of this size alone. Errors come back as "error".
Json measure_apart(const Options& o, std::int64_t count) {
  int ends[2];
  RAREFY_CHECK(pipe(ends) == 0, IoError, "cannot make a pipe");
  const pid_t child = fork();
  RAREFY_CHECK(child >= 0, IoError, "cannot start another process");
  if (child == 0) {
    close(ends[0]);
    std::string text;
    try {
      text = measure(o, count).dump();
    } catch (const std::bad_alloc&) {
      text = Json{{"points", count}, {"error", "out of memory"}}.dump();
    } catch (const std::exception& error) {
      text = Json{{"points", count}, {"error", error.what()}}.dump();
    }
    const bool written = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  std::string text(1 << 16, '\0');
  std::size_t length = 0;
  for (ssize_t n = 0; (n = read(ends[0], text.data() + length, text.size() - length)) > 0;)
    length += static_cast<std::size_t>(n);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  check_interrupt();
  if (length == 0)
    return {{"points", count},
            {"error", WIFSIGNALED(status) ? fmt::format("ended by signal {}", WTERMSIG(status)) : "no result"}};
  return Json::parse(text.substr(0, length));
}

/// What follows from all sizes: the rate of the largest, what each costs beyond it, per voxel and against the one
/// before.
void derive(Json& rows) {
  double rate = 0;
  for (const Json& row : rows)
    if (!row.contains("error")) rate = row["gflops"].get<double>();
  const Json* before = nullptr;
  for (Json& row : rows) {
    if (row.contains("error")) continue;
    const auto voxels = std::max(1.0, row["voxels"].get<double>());
    const double ms = row["ms"].get<double>();
    row["beyond_ms"] = ms - 2e-6 * row["macs"].get<double>() / rate;
    row["beyond_peak_ms"] = ms - row["arithmetic_ms"].get<double>();
    row["ns_per_voxel"] = 1e6 * ms / voxels;
    row["bytes_per_voxel"] = 1e6 * row["peak_memory_mb"].get<double>() / voxels;
    row["expected_memory_ratio"] = row["expected_memory_mb"].get<double>() / row["peak_memory_mb"].get<double>();
    if (before != nullptr) {
      const double grown = voxels / (*before)["voxels"].get<double>();
      row["time_growth"] = ms / (*before)["ms"].get<double>() / grown;
    }
    before = &row;
  }
}

void print_rows(const Json& rows) {
  print("{:>9} {:>9} {:>10} {:>10} {:>11} {:>9} {:>10} {:>9} {:>9} {:>9}\n", "points", "voxels", "ms", "at peak",
        "beyond rate", "ns/voxel", "growth", "MB", "expected", "B/voxel");
  for (const Json& r : rows) {
    if (r.contains("error")) {
      print("{:>9} {}\n", r["points"].get<std::int64_t>(), r["error"].get<std::string>());
      continue;
    }
    const auto number = [&](const char* key) { return r[key].get<double>(); };
    print("{:>9} {:>9} {:>10.2f} {:>10.2f} {:>11.2f} {:>9.0f} {:>10} {:>9.0f} {:>9.0f} {:>9.0f}\n",
          r["points"].get<std::int64_t>(), r["voxels"].get<std::int64_t>(), number("ms"), number("arithmetic_ms"),
          number("beyond_ms"), number("ns_per_voxel"),
          r.contains("time_growth") ? fmt::format("{:.2f}", number("time_growth")) : "", number("peak_memory_mb"),
          number("expected_memory_mb"), number("bytes_per_voxel"));
  }
}

void bench_scale(const Options& given) {
  Options o = given;
  std::sort(o.points.begin(), o.points.end());
  RAREFY_CHECK(std::ifstream(o.scan).good(), IoError, "{}: cannot be read", o.scan);
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  Json rows = Json::array();
  for (const std::int64_t points : o.points) rows.push_back(measure_apart(o, points));
  derive(rows);
  bool failed = false;
  for (const Json& row : rows) failed = failed || row.contains("error");
  if (o.json) {
    print_json({{"cpu", cpu::model_name()},
                {"isa", cpu::name(cpu::allowed_isa())},
                {"threads", o.threads},
                {"model", o.model.empty() ? o.builder : o.model},
                {"width", o.width},
                {"busy", !warning.empty()},
                {"rows", rows}});
  } else {
    print_rows(rows);
  }
  if (failed) throw Exit{kFailure};
}

}  // namespace

void declare_scale(CLI::App& command) {
  set_examples(
      command,
      "  rarefy bench scale --scan scan.bin                                 1 thousand to 1 million points\n"
      "  rarefy bench scale --scan scan.bin --points 1000,6600000 --width 0.25 --json\n\n"
      "Scenes are copies of the scan side by side, and a sector of it for what is smaller; each size runs in a "
      "process of its\n"
      "own. `at peak` is what the multiply-adds take at the peak measured in between, `beyond rate` what a run "
      "takes beyond\n"
      "its multiply-adds at the rate of the largest size; `growth` is 1 where time grows as voxels do, `expected` "
      "the memory\n"
      "that `rarefy inspect` predicts. A size that does not fit the memory is refused, and the exit code is 1.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--scan", o->scan, "Scan that scenes are made of")->required();
  add_format(command, o->format);
  command.add_option("--points", o->points, "Sizes of scenes, a list (default: 1000,10000,100000,1000000)")
      ->delimiter(',')
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 30));
  auto* model = command.add_option("--model", o->model, "Model file instead of a builder");
  command.add_option("--builder", o->builder, "Published network (default: minkunet)")->excludes(model);
  command.add_option("--width", o->width, "Builder: factor on all channel counts (default: 0.5)")
      ->check(CLI::PositiveNumber);
  command.add_option("--voxel", o->voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--threads", o->threads, "Threads (default: 1)")->check(CLI::Range(1, 1024));
  command.add_option("--repetitions", o->repetitions, "Runs of each (default: for 3 s, 3 to 50)")
      ->check(CLI::Range(1, 100000));
  add_json(command, o->json);
  command.callback([o] { bench_scale(*o); });
}

}  // namespace rarefy::cli::bench
