// rarefy bench precision: a whole network in fp32, in 16 bits and on integers, in turns.
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
#include "compress/quantize.h"
#include "data/formats/formats.h"
#include "kernels/conv_half.h"
#include "kernels/conv_int8.h"
#include "measure/input.h"
#include "rarefy/session.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string scan, format = "auto", model, builder;
  double width = 1.0, voxel = 0.05;
  std::vector<int> bits{8, 7};
  int threads = 0, repetitions = 7;
  bool json = false;
};

/// A precision that takes part.
struct Side {
  std::string name, variant;
  std::unique_ptr<Session> session;
  std::vector<double> total, network;
  double agreement = 1.0;  ///< share of labels equal to those of real numbers
  double mb = 0;
};

void run_in_turns(const Options& o, const Inputs& inputs, std::vector<Side>& sides) {
  std::vector<std::uint8_t> labels;
  for (int i = 0; i <= o.repetitions; ++i) {
    for (Side& side : sides) {
      check_interrupt();
      const Outputs& found = side.session->run(inputs);
      if (i > 0) {
        side.total.push_back(side.session->statistics().total_ms);
        side.network.push_back(side.session->statistics().network_ms);
        continue;
      }
      const auto mine = found["labels"].as<const std::uint8_t>();
      if (labels.empty()) labels.assign(mine.begin(), mine.end());
      std::int64_t same = 0;
      for (std::size_t p = 0; p < labels.size(); ++p) same += labels[p] == mine[p] ? 1 : 0;
      side.agreement = labels.empty() ? 1.0 : static_cast<double>(same) / static_cast<double>(labels.size());
      side.mb = 1e-6 * static_cast<double>(side.session->context().memory_bytes());
    }
  }
}

void bench_precision(const Options& o) {
  const Scan scan = load_scan(o.scan, {.format = o.format, .strict = false});
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  const std::vector<float> points = interleaved(scan);
  const Inputs inputs{{"points", view_of(points)}};
  const Model model = o.builder.empty() ? Model::load(find_model(o.model)) : build_model(o.builder, o.width, o.voxel);
  const int threads = threads_or_all(o.threads);
  const auto executor = make_thread_pool(threads);
  compress::Calibration calibration(model, threads);
  calibration.observe(inputs);
  std::vector<Side> sides;
  const auto in_storage = [&](Storage storage) {
    return std::make_unique<Session>(model, SessionOptions{.executor = executor.get(), .plan = {.storage = storage}});
  };
  sides.push_back({"fp32", std::string(name(select_conv_variant())), in_storage(Storage::real), {}, {}});
  sides.push_back(
      {"fp16", std::string(select_half_variant(cpu::allowed_isa()).name), in_storage(Storage::half), {}, {}});
  for (const int bits : o.bits)
    sides.push_back(
        {fmt::format("int{}", bits),
         std::string(select_int8_variant(bits).name),
         std::make_unique<Session>(calibration.quantize({.bits = bits}), SessionOptions{.executor = executor.get()}),
         {},
         {}});
  run_in_turns(o, inputs, sides);
  Json rows = Json::array();
  for (const Side& side : sides)
    rows.push_back({{"precision", side.name},
                    {"kernels", side.variant},
                    {"ms", median(side.total)},
                    {"network_ms", median(side.network)},
                    {"faster", median(sides[0].total) / median(side.total)},
                    {"network_faster", median(sides[0].network) / median(side.network)},
                    {"same_labels", side.agreement},
                    {"memory_mb", side.mb}});
  if (o.json)
    return print_json({{"cpu", cpu::model_name()},
                       {"isa", name(select_conv_variant())},
                       {"threads", threads},
                       {"busy", !warning.empty()},
                       {"rows", rows}});
  print("{:<10} {:<12} {:>9} {:>11} {:>8} {:>14} {:>12} {:>10}\n", "precision", "kernels", "ms", "network ms", "faster",
        "network faster", "same labels", "memory MB");
  for (const Json& r : rows)
    print("{:<10} {:<12} {:>9.1f} {:>11.1f} {:>8.2f} {:>14.2f} {:>10.1f} % {:>10.0f}\n",
          r["precision"].get<std::string>(), r["kernels"].get<std::string>(), r["ms"].get<double>(),
          r["network_ms"].get<double>(), r["faster"].get<double>(), r["network_faster"].get<double>(),
          100 * r["same_labels"].get<double>(), r["memory_mb"].get<double>());
}

}  // namespace

void declare_precision(CLI::App& command) {
  set_examples(command,
               "  rarefy bench precision --builder minkunet --width 1.0 --scan scan.bin --threads 2\n"
               "  rarefy bench precision --scan scan.bin                    the shipped model\n\n"
               "A whole network in fp32, with weights and features in 16 bits (fp16: arithmetic stays fp32), and on "
               "integers, in turns;\nmedians. Calibrated on the scan itself: speed and memory only. Accuracy: rarefy "
               "quantize, then rarefy eval.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--scan", o->scan, "Scan to compute on")->required();
  add_format(command, o->format);
  command.add_option("--builder", o->builder, "A network with random weights instead of a model: minkunet, ...");
  command.add_option("--width", o->width, "Builder: factor on all channel counts")->check(CLI::PositiveNumber);
  command.add_option("--voxel", o->voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--model", o->model, "Model file (default: the one that segment uses)");
  command.add_option("--bits", o->bits, "Integers beside fp32 and fp16, a list (default: 8,7)")
      ->delimiter(',')
      ->check(CLI::Range(2, 8));
  command.add_option("--repetitions", o->repetitions, "Runs of each (default: 7)")->check(CLI::Range(1, 1000));
  add_threads(command, o->threads);
  add_json(command, o->json);
  command.callback([o] { bench_precision(*o); });
}

}  // namespace rarefy::cli::bench
