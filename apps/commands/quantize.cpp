// rarefy quantize: fewer bits for a model: integers, calibrated on scans, or 16-bit floating point.
#include "compress/quantize.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/model_source.h"
#include "common/sizes.h"
#include "compress/half.h"
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

bool is_layer(const Node& node) { return node.op == "sparse_conv" || node.op == "linear"; }

/// Weights in 16 bits, and with them the features between layers.
void halve(const Options& o) {
  RAREFY_CHECK(o.data.empty(), UsageError,
               "quantize: 16 bits are floating point and need no calibration: leave out --data");
  const Model model = Model::load(find_model(o.model));
  Model halved = compress::halve(model);
  halved.notes["quantized"] = "16 bits, floating point";
  halved.save(o.out);
  const auto& nodes = halved.graph().nodes();
  const auto all = std::count_if(nodes.begin(), nodes.end(), is_layer);
  const auto layers = std::count_if(nodes.begin(), nodes.end(), [&](const Node& node) {
    return is_layer(node) && halved.weights().at(node.parameters[0].name).dtype() == Dtype::f16;
  });
  const std::int64_t before = weight_bytes(model), after = weight_bytes(halved);
  if (o.json)
    return print_json({{"out", o.out},
                       {"bits", o.bits},
                       {"layers", layers},
                       {"layers_in_all", all},
                       {"weight_bytes_before", before},
                       {"weight_bytes", after}});
  print("{}: {} of {} layers keep weights and features in 16 bits; {:.1f} MB of weights, {:.1f} MB before\n", o.out,
        layers, all, 1e-6 * static_cast<double>(after), 1e-6 * static_cast<double>(before));
}

void run(const Options& o) {
  if (o.bits == 16) return halve(o);
  RAREFY_CHECK(!o.data.empty(), UsageError,
               "quantize: --data is missing: integers are calibrated on scans like those that the model will see");
  const Model model = Model::load(find_model(o.model));
  compress::Calibration calibration(model, threads_or_all(o.threads));
  const std::int64_t scans = calibrate(o, calibration);
  Model quantized = calibration.quantize({.bits = o.bits, .rule = kRules.at(o.rule)});
  quantized.notes["quantized"] = fmt::format("{} bits, {} over {} scans of {}", o.bits, o.rule, scans, o.data);
  quantized.save(o.out);
  std::int64_t layers = 0, all = 0;
  Json features = Json::array();
  for (const Node& node : quantized.graph().nodes()) {
    const bool layer = is_layer(node);
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
  command.description("Make the layers of a model compute on 8-bit integers, or keep 16-bit floats");
  set_examples(
      command,
      "  rarefy quantize --data streets --out street_int8.safetensors\n"
      "  rarefy quantize --model m.safetensors --data scans --bits 7 --out m7.safetensors   7 bits: faster "
      "where a CPU has AVX2 only\n"
      "  rarefy quantize --bits 16 --out street_half.safetensors                            half the memory; no "
      "scans needed\n"
      "  rarefy eval held_out --model street_int8.safetensors                               what it costs\n\n"
      "Layers that read the network's input keep real numbers. rarefy train --init OUT goes on training with "
      "the rounding\nin place (quantization-aware training).\n");
  auto o = std::make_shared<Options>();
  command.add_option("--model", o->model, "Model file (default: the one that segment uses)");
  command.add_option("--data", o->data, "Scans like those that the model will see; labels are not needed");
  command.add_option("--out", o->out, "Model file to write")->required();
  command
      .add_option("--bits", o->bits, "Bits of features and weights: 2 to 8 for integers (default: 8), 16 for floats")
      ->check(CLI::Range(2, 8) | CLI::IsMember({16}));
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
