// rarefy tune: the fastest dataflow of each convolution on this machine.
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "common/scans.h"
#include "common/segmenter.h"
#include "data/formats/formats.h"
#include "runtime/tuner.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string builder, out, format = "auto";
  std::vector<std::string> files;  ///< the model, unless there is a builder, and scans
  double width = 1.0, voxel = 0.05;
  int threads = 0, repetitions = 7;
  std::int64_t most = 4;
  bool gradients = false, json = false;
};

/// Scans, with the memory that their views point into.
struct Loaded {
  std::vector<Scan> scans;
  std::vector<std::vector<float>> rows;
  std::vector<Inputs> inputs;
};

/// At most `most` of the scans, evenly spread.
Loaded load_scans(const Options& o, const std::vector<std::string>& scans) {
  const std::vector<ScanEntry> entries = find_scans(scans, o.format);
  const auto all = static_cast<std::int64_t>(entries.size());
  const std::int64_t wanted = std::min(o.most, all);
  Loaded loaded;
  loaded.rows.resize(static_cast<std::size_t>(wanted));
  for (std::int64_t i = 0; i < wanted; ++i)
    loaded.scans.push_back(
        load_scan(entries[static_cast<std::size_t>(i * all / wanted)].scan, {.format = o.format, .strict = false}));
  for (std::size_t i = 0; i < loaded.scans.size(); ++i) {
    interleave(loaded.scans[i], loaded.rows[i]);
    loaded.inputs.push_back({{"points", view_of(loaded.scans[i], loaded.rows[i])}});
  }
  return loaded;
}

Json by_dataflow(const std::array<double, 3>& ms) {
  Json json = Json::object();
  for (std::size_t d = 0; d < ms.size(); ++d)
    if (ms[d] >= 0) json[std::string(name(dataflows()[d]))] = ms[d];
  return json;
}

Json layers_json(const TuneReport& report) {
  Json layers = Json::array();
  for (const LayerTimes& t : report.layers) {
    const Tuning::Layer& choice = report.tuning.layer(t.layer);
    layers.push_back({{"layer", t.layer},
                      {"map", t.map},
                      {"cin", t.in_channels},
                      {"cout", t.out_channels},
                      {"rows", t.rows},
                      {"pairs", t.pairs},
                      {"forward_ms", by_dataflow(t.forward)},
                      {"input_gradient_ms", by_dataflow(t.input_gradient)},
                      {"weight_gradient_ms", by_dataflow(t.weight_gradient)},
                      {"default", t.by_cost_model},
                      {"forward", choice.forward},
                      {"input_gradient", choice.input_gradient},
                      {"weight_gradient", choice.weight_gradient}});
  }
  return layers;
}

void print_report(const TuneReport& report) {
  const auto cell = [](double ms) { return ms < 0 ? std::string("-") : fmt::format("{:.2f}", ms); };
  print("{:<30} {:>5} {:>5} {:>8} {:>9} {:>9} {:>10} {:>9}   {}\n", "layer", "cin", "cout", "rows", "pairs", "blocked",
        "stationary", "on demand", "chosen (without tuning)");
  for (const LayerTimes& t : report.layers)
    print("{:<30} {:>5} {:>5} {:>8} {:>9} {:>9} {:>10} {:>9}   {} ({})\n", t.layer, t.in_channels, t.out_channels,
          t.rows, t.pairs, cell(t.forward[0]), cell(t.forward[1]), cell(t.forward[2]),
          report.tuning.layer(t.layer).forward, t.by_cost_model);
  print("Milliseconds. All candidates were verified first: largest error {:.2f} of what rounding may do.\n",
        report.largest_error);
  print("Whole runs, in turns: {:.1f} ms as the cost model chooses, {:.1f} ms tuned ({:+.1f} %)\n", report.default_ms,
        report.tuned_ms, 100 * (report.tuned_ms / report.default_ms - 1));
  if (!report.pays) print("That is no clear gain: the file leaves forward passes to the cost model.\n");
}

void run(const Options& o) {
  std::vector<std::string> scans = o.files;
  std::string name = fmt::format("{} at width {}", o.builder, o.width);
  if (o.builder.empty()) {
    name = scans.front();
    scans.erase(scans.begin());
    RAREFY_CHECK(!scans.empty(), UsageError, "tune: give scans behind the model {}", name);
  }
  const Model model = o.builder.empty() ? load_segmenter(name) : build_model(o.builder, o.width, o.voxel);
  const Loaded loaded = load_scans(o, scans);
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  const int threads = threads_or_all(o.threads);
  const auto executor = make_thread_pool(threads);
  std::unique_ptr<ProgressLine> line;
  TunerOptions options{.repetitions = o.repetitions, .gradients = o.gradients ? TuneGradients::yes : TuneGradients::no};
  options.progress = [&](const ProgressReport& p) {
    check_interrupt();
    if (!line || p.done <= 1) line = std::make_unique<ProgressLine>("runs", p.total);
    line->update(p.done);
  };
  Tuner tuner(model, *executor, std::move(options));
  const TuneReport report = tuner.run(loaded.inputs, {.stop = interrupt_token()});
  line.reset();
  report.tuning.save(o.out);
  if (o.json)
    return print_json({{"out", o.out},
                       {"cpu", report.tuning.cpu},
                       {"isa", report.tuning.isa},
                       {"threads", threads},
                       {"model", name},
                       {"busy", !warning.empty()},
                       {"scans", loaded.inputs.size()},
                       {"largest_error", report.largest_error},
                       {"default_ms", report.default_ms},
                       {"tuned_ms", report.tuned_ms},
                       {"pays", report.pays},
                       {"layers", layers_json(report)}});
  print_report(report);
  print("{}: give it to segment, stream or bench model as --tuning\n", o.out);
}

}  // namespace

void tune(CLI::App& command) {
  command.description("Find the fastest dataflow of each layer on this machine");
  set_examples(command,
               "  rarefy tune street.safetensors scans --out street.tuning\n"
               "  rarefy segment scan.bin --model street.safetensors --tuning street.tuning\n"
               "  rarefy tune --builder minkunet --width 0.5 scan.bin --threads 2 --out m.tuning\n\n"
               "Each dataflow of each sparse convolution on real numbers is verified against plain sums in double "
               "precision, then\nwhole runs take turns. Results do not depend on the choice (those of training: by "
               "rounding). The file holds for this\nCPU, instruction set and model; without one a cost model "
               "chooses.\n");
  auto o = std::make_shared<Options>();
  command
      .add_option("MODEL SCAN", o->files,
                  "Model file, then scans like those that it will see: files, folders, patterns")
      ->required();
  command.add_option("--builder", o->builder, "A network with random weights instead of the model: minkunet, ...");
  command.add_option("--width", o->width, "Builder: factor on all channel counts")->check(CLI::PositiveNumber);
  command.add_option("--voxel", o->voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--out", o->out, "Tuning file to write")->required();
  command.add_option("--scans", o->most, "Scans to use at most (default: 4)")->check(CLI::Range(1, 1000));
  command.add_option("--repetitions", o->repetitions, "Runs of each candidate on each scan (default: 7)")
      ->check(CLI::Range(1, 1000));
  command.add_flag("--training", o->gradients, "Input and weight gradients too, for rarefy train --tuning");
  add_format(command, o->format);
  add_threads(command, o->threads);
  add_json(command, o->json);
  command.callback([o] { run(*o); });
}

}  // namespace rarefy::cli::commands
