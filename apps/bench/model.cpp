// rarefy bench model.
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
#include "common/model_source.h"
#include "common/profile_json.h"
#include "common/segmenter.h"
#include "data/formats/formats.h"
#include "measure/input.h"
#include "rarefy/models.h"
#include "rarefy/session.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string builder, model, scan, format = "auto";
  PlanChoice plan;
  double width = 1.0, voxel = 0.05;
  std::vector<std::string> settings;
  int threads = 0, repetitions = 0;
  bool json = false, profile = false;
};

struct Times {
  std::vector<double> voxelize, maps, network, total;
  void add(const RunStatistics& s) {
    voxelize.push_back(s.voxelize_ms);
    maps.push_back(s.maps_ms);
    network.push_back(s.network_ms);
    total.push_back(s.total_ms);
  }
};

Json measure(const Options& o, const std::string& warning) {
  const int threads = threads_or_all(o.threads);
  const Scan scan = load_scan(o.scan, {.format = o.format, .strict = false});
  const Model model =
      o.builder.empty() ? Model::load(find_model(o.model)) : build_model(o.builder, o.width, o.voxel, 19, o.settings);
  Session session(model, {.threads = threads, .plan = plan_of(o.plan)});
  const std::vector<float> points = interleaved(scan);
  const PointView view = view_of(points);
  auto start = Clock::now();
  session.run({{"points", view}}, {.stop = interrupt_token()});
  const double first_ms = ms_since(start);
  const bool on_gpu = o.plan.device != "cpu";
  Times times;
  Peak peak;
  std::vector<double> cpu_times;
  double spent = 0;
  while (static_cast<int>(times.total.size()) < (o.repetitions > 0 ? o.repetitions : 50)) {
    const double cpu_start = thread_ms();
    session.run({{"points", view}}, {.stop = interrupt_token()});
    cpu_times.push_back(thread_ms() - cpu_start);
    times.add(session.statistics());
    spent += times.total.back();
    if (!on_gpu) peak.measure_again();
    if (o.repetitions == 0 && times.total.size() >= 5 && spent > 4000) break;
  }
  const RunStatistics& s = session.statistics();
  const double total = median(times.total), gflops = total > 0 ? 2e-6 * static_cast<double>(s.macs) / total : 0;
  Json json = machine_json(o.plan);
  json["threads"] = threads;
  json["model"] = o.builder.empty() ? find_model(o.model) : o.builder;
  if (!o.builder.empty()) json["width"] = o.width;
  json["parameters"] = model.graph().parameters();
  json["macs"] = s.macs;
  json["points"] = s.points;
  json["voxels"] = s.voxels;
  json["ms"] = {{"voxelize", median(times.voxelize)},
                {"maps", median(times.maps)},
                {"network", median(times.network)},
                {"total", total},
                {"first", first_ms}};
  json["repetitions"] = times.total.size();
  json["gflops"] = gflops;
  if (on_gpu) {
    json["memory_mb"] = 1e-6 * static_cast<double>(session.context().memory_bytes());
  } else {
    json["peak_gflops"] = {{"fp32", peak.gflops()}};
    json["of_peak"] = gflops / (peak.gflops() * threads);
  }
  if (threads == 1 && !on_gpu) {
    json["ms"]["cpu"] = median(cpu_times);
    json["of_peak_cpu"] = 2e-6 * static_cast<double>(s.macs) / std::max(median(cpu_times), 1e-9) / peak.gflops();
  }
  json["peak_memory_mb"] = peak_memory_mb();
  json["busy"] = !warning.empty();
  if (o.profile && on_gpu) session.run({{"points", view}}, {.stop = interrupt_token(), .time_steps = true});
  if (o.profile) json["profile"] = profile_json(session.profile());
  return json;
}

void print_text(const Json& j) {
  print("{} on {} points, {} voxels: {:.2f} G multiply-adds, {} parameters\n", j["model"].get<std::string>(),
        j["points"].get<std::int64_t>(), j["voxels"].get<std::int64_t>(), j["macs"].get<double>() / 1e9,
        j["parameters"].get<std::int64_t>());
  const auto& ms = j["ms"];
  print(
      "{:.1f} ms in total: voxelize {:.1f}, maps {:.1f}, network {:.1f} (medians of {} runs; the first took {:.1f})\n",
      ms["total"].get<double>(), ms["voxelize"].get<double>(), ms["maps"].get<double>(), ms["network"].get<double>(),
      j["repetitions"].get<int>(), ms["first"].get<double>());
  if (j.contains("gpu"))
    print("{:.1f} TFLOP/s on {} in {}; {:.0f} MB there\n", j["gflops"].get<double>() / 1000,
          j["gpu"].get<std::string>(), j["precision"].get<std::string>(), j["memory_mb"].get<double>());
  else
    print("{:.1f} GFLOP/s, {:.1f} % of {} x {:.0f} GFLOP/s{}; at most {:.0f} MB\n", j["gflops"].get<double>(),
          100 * j["of_peak"].get<double>(), j["threads"].get<int>(), j["peak_gflops"]["fp32"].get<double>(),
          j.contains("of_peak_cpu") ? fmt::format(" ({:.1f} % by CPU time)", 100 * j["of_peak_cpu"].get<double>()) : "",
          j["peak_memory_mb"].get<double>());
  if (!j.contains("profile")) return;
  for (const auto& s : j["profile"]) {
    const double time = s["ms"].get<double>();
    print("{:<28} {:<34} {:<10} {:<10} {:>9} {:>9} {:>8.1f} GFLOP/s {:>9.3f} ms{}\n", s["name"].get<std::string>(),
          s["op"].get<std::string>(), s["variant"].get<std::string>(), s["dataflow"].get<std::string>(),
          s["rows"].get<std::int64_t>(), s["pairs"].get<std::int64_t>(),
          time > 0 ? 2e-6 * s["macs"].get<double>() / time : 0.0, time,
          s.contains("note") ? "  " + s["note"].get<std::string>() : "");
  }
}

void bench_model(const Options& o) {
  RAREFY_CHECK(o.builder.empty() || o.model.empty(), UsageError,
               "bench model: give either --model or --builder, not both");
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  const Json json = measure(o, warning);
  if (o.json) return print_json(json);
  print_text(json);
}

}  // namespace

void declare_model(CLI::App& command) {
  set_examples(command,
               "  rarefy bench model --builder minkunet --width 1.0 --scan scan.bin --threads 2 --json\n"
               "  rarefy bench model --scan scan.bin --profile         the shipped model, step by step\n\n"
               "The total holds everything from points to labels: voxels, neighbour search, network. Medians; the "
               "share of the peak\n"
               "is 2 multiply-adds / total against the single-core peak measured in between, times --threads.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--builder", o->builder, "A published network with random weights: " + models::names());
  command.add_option("--set", o->settings, "Builder: NAME=NUMBER, may repeat. " + models::settings_help());
  command.add_option("--width", o->width, "Builder: factor on all channel counts")->check(CLI::PositiveNumber);
  command.add_option("--voxel", o->voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--model", o->model, "A model file instead (default: the one that segment uses)");
  command.add_option("--scan", o->scan, "Scan to run on")->required();
  add_format(command, o->format);
  command.add_option("--repetitions", o->repetitions, "Runs (default: for 4 s, 5 to 50)")->check(CLI::Range(1, 100000));
  command.add_flag("--profile", o->profile, "Time of every step of the last run");
  add_json(command, o->json);
  add_threads(command, o->threads);
  add_plan(command, o->plan);
  command.callback([o] { bench_model(*o); });
}

}  // namespace rarefy::cli::bench
