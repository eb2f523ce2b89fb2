#include "rarefy/tuning.h"

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/cpu.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/json_read.h"
#include "graph/json_io.h"
#include "kernels/dataflow.h"

namespace rarefy {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "rarefy tuning";
constexpr int kVersion = 1;

std::string read_string(const Json& json, const std::string& where, const char* field) {
  RAREFY_CHECK(json.is_object() && json.contains(field) && json[field].is_string(), InputError,
               "{}: '{}' must be a string; is this a file of `rarefy tune`?", where, field);
  return json[field].get<std::string>();
}

std::string read_dataflow(const Json& layer, const std::string& where, const char* field, bool gradient_of_weights) {
  const std::string dataflow = read_string(layer, where, field);
  bool known = dataflow == name(Dataflow::automatic);
  for (const Dataflow d : dataflows())
    known = known || (dataflow == name(d) && !(gradient_of_weights && d == Dataflow::stationary));
  RAREFY_CHECK(known, InputError, "{}: '{}' is '{}', expected automatic, blocked, on_demand{}", where, field, dataflow,
               gradient_of_weights ? "" : " or stationary");
  return dataflow;
}

}  // namespace

const Tuning::Layer& Tuning::layer(std::string_view node) const {
  static const Layer automatic;
  const auto found = layers.find(std::string(node));
  return found == layers.end() ? automatic : found->second;
}

void Tuning::require_match(const Graph& graph, std::string_view isa_here) const {
  const auto require = [](std::string_view what, std::string_view tuned, std::string_view here) {
    RAREFY_CHECK(tuned == here, UsageError,
                 "this tuning is for another {} ({}; here: {}): run `rarefy tune` here, or go without it", what, tuned,
                 here);
  };
  require("CPU", cpu, cpu::model_name());
  require("instruction set", isa, isa_here);
  require("model", model, fingerprint(graph));
}

std::string Tuning::fingerprint(const Graph& graph) { return fmt::format("{:08x}", crc32_of(graph_to_json(graph))); }

Tuning Tuning::load(const std::string& path) { return parse(read_text(path), path); }

Tuning Tuning::parse(const std::string& text, const std::string& where) {
  constexpr int kDepth = 8;
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kDepth; };
  const Json json = Json::parse(text, shallow, false);
  RAREFY_CHECK(!json.is_discarded() && json.is_object(), InputError, "{}: is not a JSON object", where);
  RAREFY_CHECK(read_string(json, where, "format") == kFormat, InputError, "{}: 'format' must be '{}'", where, kFormat);
  RAREFY_CHECK(json.contains("version") && read_integer<int>(json["version"], where, "version") == kVersion, InputError,
               "{}: 'version' must be {}: this file was written by another version of rarefy", where, kVersion);
  Tuning tuning;
  tuning.cpu = read_string(json, where, "cpu");
  tuning.isa = read_string(json, where, "isa");
  tuning.model = read_string(json, where, "model");
  RAREFY_CHECK(json.contains("threads") && json.contains("scan") && json["scan"].is_object() &&
                   json.contains("layers") && json["layers"].is_object(),
               InputError, "{}: 'threads', 'scan' or 'layers' is missing or no object", where);
  tuning.threads = read_integer<int>(json["threads"], where, "threads");
  for (const auto& [key, value] : json["scan"].items())
    tuning.scan[key] = read_integer<std::int64_t>(value, where, "scan");
  for (const auto& [key, value] : json["layers"].items()) {
    const std::string layer = fmt::format("{}: layer '{}'", where, key);
    tuning.layers[key] = {read_dataflow(value, layer, "forward", false),
                          read_dataflow(value, layer, "input_gradient", false),
                          read_dataflow(value, layer, "weight_gradient", true)};
  }
  return tuning;
}

std::string Tuning::to_json() const {
  Json json = {{"format", kFormat},  {"version", kVersion}, {"cpu", cpu},        {"isa", isa},
               {"threads", threads}, {"model", model},      {"scan", Json(scan)}};
  Json& found = json["layers"] = Json::object();
  for (const auto& [node, layer] : layers)
    found[node] = {{"forward", layer.forward},
                   {"input_gradient", layer.input_gradient},
                   {"weight_gradient", layer.weight_gradient}};
  return json.dump(1) + "\n";
}

void Tuning::save(const std::string& path) const { write_file_atomic(path, to_json()); }

}  // namespace rarefy
