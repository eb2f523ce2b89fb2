// rarefy quantize: fewer bits for a model: integers, calibrated on scans (--bits auto chooses by layer), or 16-bit
// floats.
#include "compress/quantize.h"

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "common/command.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "common/sizes.h"
#include "compress/choose_bits.h"
#include "compress/half.h"
#include "data/formats/formats.h"
#include "data/sets/data_set.h"
#include "measure/array_inputs.h"
#include "measure/input.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, compress::ScaleRule> kRules{{"minmax", compress::ScaleRule::minmax},
                                                        {"mse", compress::ScaleRule::mse},
                                                        {"percentile", compress::ScaleRule::percentile}};

struct Options {
  std::string model, data, out, rule = "mse", bits = "8";
  std::vector<std::string> layers_real, inputs;
  double loss = 0.5;
  int threads = 0, repetitions = 9;
  std::int64_t scans = 16;
  bool json = false;

  bool automatic() const { return bits == "auto"; }
};

/// Scans evenly spread over the data: x, y, z, intensity per point. Kept only where they are looked at again.
std::vector<std::vector<float>> calibrate(const Options& o, compress::Calibration& calibration) {
  const ScanSource source = open_data_set(o.data, "auto", {.sequences = {}, .labels = NeedLabels::no});
  RAREFY_CHECK(source.size() > 0, InputError, "{}: there is no scan to calibrate with", o.data);
  const std::int64_t wanted = std::min(o.scans, source.size());
  std::vector<std::vector<float>> scans(static_cast<std::size_t>(wanted));
  ProgressLine progress("scans", wanted);
  for (std::int64_t i = 0; i < wanted; ++i) {
    check_interrupt();
    std::vector<float> points = bench::interleaved(source.load(i * source.size() / wanted));
    calibration.observe({{"points", bench::view_of(points)}});
    if (o.automatic()) scans[static_cast<std::size_t>(i)] = std::move(points);
    progress.update(i + 1);
  }
  return scans;
}

/// Arrays as of `rarefy run`, for models that take something else than scans.
void calibrate_on_arrays(const Options& o, compress::Calibration& calibration) {
  ProgressLine progress("inputs", static_cast<std::int64_t>(o.inputs.size()));
  for (const std::string& file : o.inputs) {
    check_interrupt();
    calibration.observe(ArrayInputs(calibration.model().graph(), file).inputs());
    progress.update(calibration.observed());
  }
}

bool is_layer(const Node& node) { return node.op == "sparse_conv" || node.op == "linear"; }

/// Weights in 16 bits, and with them the features between layers.
void halve(const Options& o) {
  RAREFY_CHECK(o.data.empty() && o.inputs.empty(), UsageError,
               "quantize: 16 bits are floating point and need no calibration: leave out --data and --inputs");
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
                       {"bits", 16},
                       {"layers", layers},
                       {"layers_in_all", all},
                       {"weight_bytes_before", before},
                       {"weight_bytes", after}});
  print("{}: {} of {} layers keep weights and features in 16 bits; {:.1f} MB of weights, {:.1f} MB before\n", o.out,
        layers, all, 1e-6 * static_cast<double>(after), 1e-6 * static_cast<double>(before));
}

/// What the model was calibrated on.
const char* seen_name(const Options& o) { return o.inputs.empty() ? "scans" : "inputs"; }
std::string seen_where(const Options& o) { return o.inputs.empty() ? o.data : o.inputs.front(); }

/// Nodes of the quantized model, for people's programs.
Json common_json(const Options& o, const Model& quantized, std::size_t scans) {
  std::int64_t layers = 0, all = 0;
  Json features = Json::array();
  for (const Node& node : quantized.graph().nodes()) {
    const bool layer = is_layer(node);
    all += layer ? 1 : 0;
    layers += layer && node.integer("weight_bits") != 0 ? 1 : 0;
    if (node.op == "quantize")
      features.push_back({{"node", node.name},
                          {"bits", node.integer("bits")},
                          {"scale", quantized.weights().resolve(node.parameters[0]).as<float>()[0]},
                          {"signed", node.integer("has_sign") != 0}});
  }
  Json json = {{"out", o.out}};
  if (o.automatic())
    json["bits"] = o.bits;
  else
    json["bits"] = std::stoi(o.bits);
  json.update(
      {{"rule", o.rule}, {seen_name(o), scans}, {"layers", layers}, {"layers_in_all", all}, {"features", features}});
  return json;
}

void quantize_alike(const Options& o, const compress::Calibration& calibration, std::size_t scans) {
  compress::QuantizeOptions options{.bits = std::stoi(o.bits), .rule = kRules.at(o.rule)};
  for (const std::string& layer : o.layers_real) options.layers[layer] = 0;
  Model quantized = calibration.quantize(options);
  quantized.notes["quantized"] =
      fmt::format("{} bits, {} over {} {} of {}", o.bits, o.rule, scans, seen_name(o), seen_where(o));
  quantized.save(o.out);
  const Json json = common_json(o, quantized, scans);
  if (o.json) return print_json(json);
  print("{}: {} of {} layers compute on integers of {} bits; scales by {} over {} {}\n", o.out,
        json["layers"].get<int>(), json["layers_in_all"].get<int>(), o.bits, o.rule, scans, seen_name(o));
}

std::string bits_text(int bits) { return bits == 0 ? "real" : std::to_string(bits); }

void print_choice(const Options& o, const compress::BitsChoice& choice, const std::string& note) {
  print("{:<28} {:>5} {:>5} {:>9} {:>12} {:>12}  {}\n", "layer", "group", "bits", "ms real", "ms integers",
        "sensitivity", "why");
  for (const compress::LayerChoice& l : choice.layers)
    print("{:<28} {:>5} {:>5} {:>9.3f} {:>12} {:>12}  {}\n", l.layer, l.group < 0 ? "-" : std::to_string(l.group),
          bits_text(l.bits), l.ms_real, l.group < 0 ? "-" : fmt::format("{:.3f}", l.ms_integers),
          l.sensitivity ? fmt::format("{:.2e}", *l.sensitivity) : "-", l.why);
  print("\nLabels that change: {:.2f} % ({:.2f} % with 8 bits everywhere, at most {:.2f} % more allowed)\n",
        100 * choice.changed, 100 * choice.changed_eight, o.loss);
  print("Network: {:.1f} ms, {:.1f} with 8 bits everywhere, {:.1f} on real numbers\n", choice.ms, choice.ms_eight,
        choice.ms_real);
  print("{}: {}\n", o.out, note);
}

Json choice_json(const Options& o, const compress::BitsChoice& choice, Json json, bool busy) {
  Json layers = Json::array();
  for (const compress::LayerChoice& l : choice.layers)
    layers.push_back({{"layer", l.layer},
                      {"group", l.group < 0 ? Json() : Json(l.group)},
                      {"bits", l.bits},
                      {"ms_real", l.ms_real},
                      {"ms_integers", l.group < 0 ? Json() : Json(l.ms_integers)},
                      {"sensitivity", l.sensitivity ? Json(*l.sensitivity) : Json()},
                      {"why", l.why}});
  json.update({{"cpu", cpu::model_name()},
               {"threads", threads_or_all(o.threads)},
               {"busy", busy},
               {"loss", o.loss / 100},
               {"labels_changed", {{"eight", choice.changed_eight}, {"chosen", choice.changed}}},
               {"network_ms", {{"real", choice.ms_real}, {"eight", choice.ms_eight}, {"chosen", choice.ms}}},
               {"choice", layers}});
  return json;
}

void quantize_by_choice(const Options& o, const compress::Calibration& calibration,
                        const std::vector<std::vector<float>>& scans) {
  const std::string warning = busy_warning();
  if (!warning.empty()) notice(warning);
  const auto executor = make_thread_pool(threads_or_all(o.threads));
  std::vector<Inputs> inputs;
  for (const std::vector<float>& points : scans) inputs.push_back({{"points", bench::view_of(points)}});
  std::unique_ptr<ProgressLine> line;
  compress::BitsChoice choice =
      compress::choose_bits(calibration, inputs,
                            {.loss = o.loss / 100,
                             .rule = kRules.at(o.rule),
                             .time = compress::time_in_turns(inputs[inputs.size() / 2], *executor, o.repetitions),
                             .executor = executor.get(),
                             .progress = [&line](const ProgressReport& report) {
                               check_interrupt();
                               if (!line) line = std::make_unique<ProgressLine>(std::string(report.what), report.total);
                               line->update(report.done);
                             }});
  line.reset();
  std::map<int, int> count;
  for (const compress::LayerChoice& layer : choice.layers) ++count[layer.bits];
  const std::string note =
      fmt::format("{} layers on integers of 8 bits, {} of 7, {} on real numbers", count[8], count[7], count[0]);
  choice.model.notes["quantized"] =
      fmt::format("{}; {} over {} scans of {}; timed on {}", note, o.rule, scans.size(), o.data, cpu::model_name());
  choice.model.save(o.out);
  if (o.json) return print_json(choice_json(o, choice, common_json(o, choice.model, scans.size()), !warning.empty()));
  print_choice(o, choice, note);
}

void run(const Options& o) {
  RAREFY_CHECK(!o.automatic() || o.layers_real.empty(), UsageError,
               "quantize: --layers-real goes with a number of bits; --bits auto finds such layers itself");
  if (o.bits == "16") return halve(o);
  RAREFY_CHECK(
      !o.data.empty() || !o.inputs.empty(), UsageError,
      "quantize: --data is missing: integers are calibrated on scans like those that the model will see (or on "
      "--inputs, for models that take something else)");
  RAREFY_CHECK(o.data.empty() || o.inputs.empty(), UsageError, "quantize: give either --data or --inputs");
  RAREFY_CHECK(!o.automatic() || o.inputs.empty(), UsageError,
               "quantize: --bits auto compares the labels of scans: it needs --data, not --inputs");
  const Model model = Model::load(find_model(o.model));
  compress::Calibration calibration(model, threads_or_all(o.threads));
  if (!o.inputs.empty()) {
    calibrate_on_arrays(o, calibration);
    return quantize_alike(o, calibration, o.inputs.size());
  }
  const std::vector<std::vector<float>> scans = calibrate(o, calibration);
  if (o.automatic()) return quantize_by_choice(o, calibration, scans);
  quantize_alike(o, calibration, scans.size());
}

/// "auto" or a number of bits.
std::string check_bits(const std::string& text) {
  if (text == "auto" || text == "16" || (text.size() == 1 && text[0] >= '2' && text[0] <= '8')) return {};
  return "expected 2 to 8, or auto, or 16, not '" + text + "'";
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
      "  rarefy quantize --data streets --bits auto --out street_auto.safetensors           each layer what is "
      "fastest here\n"
      "  rarefy quantize --model encoder.safetensors --inputs texts.npz --out encoder8.safetensors   tokens\n"
      "  rarefy eval held_out --model street_int8.safetensors                               what it costs\n\n"
      "Layers that read the network's input keep real numbers. rarefy train --init OUT goes on training with "
      "the rounding\nin place (quantization-aware training).\n"
      "--bits auto gives each layer 7 or 8 bits or real numbers: 7 where they are faster on this CPU, as long "
      "as no more than\n--loss labels in 100 change beyond those that 8 bits change; real numbers where "
      "integers are slower. It measures both,\nprints what it found for each layer, and leaves the times in "
      "the file, where profiles show them.\n");
  auto o = std::make_shared<Options>();
  command.add_option("--model", o->model, "Model file (default: the one that segment uses)");
  command.add_option("--data", o->data, "Scans like those that the model will see; labels are not needed");
  command
      .add_option("--inputs", o->inputs,
                  "Instead of --data, for models that take no scans (tokens, images): arrays (.npz) as of rarefy run")
      ->check(CLI::ExistingFile);
  command.add_option("--out", o->out, "Model file to write")->required();
  command
      .add_option("--bits", o->bits,
                  "Bits of features and weights: 2 to 8 for integers (default: 8), auto, or 16 for floats")
      ->check(check_bits);
  command
      .add_option("--loss", o->loss,
                  "--bits auto: labels in 100 that 7 bits may change beyond those of 8 bits (default: 0.5)")
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--repetitions", o->repetitions, "--bits auto: runs of each network that is timed (default: 9)")
      ->check(CLI::Range(1, 1000));
  command.add_option("--layers-real", o->layers_real, "Layers that keep real numbers, names with commas")
      ->delimiter(',');
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
