// rarefy quantize: post-training quantization of a model, calibrated on scans.
#include "compress/quantize.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/model_source.h"
#include "data/formats/formats.h"
#include "data/sets/data_set.h"
#include "measure/input.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, compress::ScaleRule> kRules{{"minmax", compress::ScaleRule::minmax},
                                                        {"mse", compress::ScaleRule::mse},
                                                        {"percentile", compress::ScaleRule::percentile}};

struct Options {
  std::string model, data, out, rule = "mse";
  int bits = 8, threads = 0;
  std::int64_t scans = 16;
  bool json = false;
};

/// `wanted` scans, evenly spread over the data.
std::int64_t calibrate(const Options& o, compress::Calibration& calibration) {
  const ScanSource source = open_data_set(o.data, "auto", {.sequences = {}, .labels = NeedLabels::no});
  RAREFY_CHECK(source.size() > 0, InputError, "{}: there is no scan to calibrate with", o.data);
  const std::int64_t wanted = std::min(o.scans, source.size());
  ProgressLine progress("scans", wanted);
  for (std::int64_t i = 0; i < wanted; ++i) {
    check_interrupt();
    const Scan scan = source.load(i * source.size() / wanted);
    const std::vector<float> points = bench::interleaved(scan);
    calibration.observe({{"points", bench::view_of(points)}});
    progress.update(i + 1);
  }
  return wanted;
}

void run(const Options& o) {
  const Model model = Model::load(find_model(o.model));
  compress::Calibration calibration(model, threads_or_all(o.threads));
  const std::int64_t scans = calibrate(o, calibration);
  Model quantized = calibration.quantize({.bits = o.bits, .rule = kRules.at(o.rule)});
  quantized.notes["quantized"] = fmt::format("{} bits, {} over {} scans of {}", o.bits, o.rule, scans, o.data);
  quantized.save(o.out);
  std::int64_t layers = 0, all = 0;
  Json features = Json::array();
  for (const Node& node : quantized.graph().nodes()) {
    const bool layer = node.op == "sparse_conv" || node.op == "linear";
    all += layer ? 1 : 0;
    layers += layer && node.integer("weight_bits") != 0 ? 1 : 0;
    if (node.op == "quantize")
      features.push_back({{"node", node.name},
                          {"scale", quantized.weights().resolve(node.parameters[0]).as<float>()[0]},
                          {"signed", node.integer("has_sign") != 0}});
  }
  if (o.json)
    return print_json({{"out", o.out},
                       {"bits", o.bits},
                       {"rule", o.rule},
                       {"scans", scans},
                       {"layers", layers},
                       {"layers_in_all", all},
                       {"features", features}});
  print("{}: {} of {} layers compute on integers of {} bits; scales by {} over {} scans\n", o.out, layers, all, o.bits,
        o.rule, scans);
}

}  // namespace

void quantize(CLI::App& command) {
  command.description("Make the layers of a model compute on 8-bit integers");
  set_examples(command,
               "  rarefy quantize --data streets --out street_int8.safetensors\n"
               "  rarefy quantize --model m.safetensors --data scans --bits 7 --out m7.safetensors   7 bits: faster "
               "where a CPU has AVX2 only\n"
               "  rarefy eval held_out --model street_int8.safetensors                               what it costs\n\n"
               "Layers that read the network's input keep real numbers. rarefy train --init OUT goes on training with "
               "the rounding\nin place (quantization-aware training).\n");
  auto o = std::make_shared<Options>();
  command.add_option("--model", o->model, "Model file (default: the one that segment uses)");
  command.add_option("--data", o->data, "Scans like those that the model will see; labels are not needed")->required();
  command.add_option("--out", o->out, "Model file to write")->required();
  command.add_option("--bits", o->bits, "Bits of features and weights (default: 8)")->check(CLI::Range(2, 8));
  command.add_option("--scans", o->scans, "Scans to look at (default: 16)")->check(CLI::Range(1, 1000000));
  command
      .add_option("--rule", o->rule,
                  "Scale of a feature: mse (least squared error, default), minmax, percentile (99.99 %)")
      ->check(CLI::IsMember({"minmax", "mse", "percentile"}));
  add_threads(command, o->threads);
  add_json(command, o->json);
  command.callback([o] { run(*o); });
}

}  // namespace rarefy::cli::commands
