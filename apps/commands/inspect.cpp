// rarefy inspect: what a model is made of and what it costs.
#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "common/command.h"
#include "common/console.h"
#include "common/model_source.h"
#include "common/sizes.h"
#include "data/formats/formats.h"
#include "rarefy/models.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string model, builder, scan, save, format = "auto";
  double width = 1.0;
  double voxel = 0.05;
  std::int64_t classes = 19;
  std::vector<std::int64_t> voxels, pairs;
  std::vector<std::string> settings;
  bool json = false, dot = false, text = false;
  int threads = 0;
};

Json pipeline_json(const Pipeline& p) {
  Json features = Json::array(), classes = Json::array();
  for (const FeatureSpec& f : p.features) {
    features.push_back(
        {{"name", f.name}, {"unit", f.unit}, {"offset", f.offset}, {"scale", f.scale}, {"missing", f.missing}});
  }
  for (const ClassSpec& c : p.classes) classes.push_back({{"name", c.name}, {"raw_id", c.raw_id}, {"color", c.color}});
  return {{"voxel_size", p.voxel_size}, {"rounding", p.rounding}, {"crop_min", p.crop_min},   {"crop_max", p.crop_max},
          {"reduction", p.reduction},   {"features", features},   {"label_map", p.label_map}, {"classes", classes}};
}

/// Nodes, stored values and multiply-adds by op.
Json ops_json(const Graph& graph, const Sizes* sizes) {
  std::map<std::string, Json> ops;
  for (const Node& node : graph.nodes()) {
    Json& row = ops[node.op];
    if (row.is_null()) row = {{"op", node.op}, {"nodes", 0}, {"parameters", 0}};
    row["nodes"] = row["nodes"].get<std::int64_t>() + 1;
    const auto shapes = graph.parameter_shapes(node);
    const auto trainable = graph.parameter_trainable(node);
    std::int64_t parameters = row["parameters"].get<std::int64_t>();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      std::int64_t size = 1;
      for (const std::int64_t extent : shapes[i]) size *= extent;
      parameters += trainable[i] ? size : 0;
    }
    row["parameters"] = parameters;
    if (sizes != nullptr) row["macs"] = row.value("macs", std::int64_t{0}) + multiply_adds(graph, node, *sizes);
  }
  Json all = Json::array();
  for (const auto& [op, row] : ops) all.push_back(row);
  return all;
}

Json levels_json(const Graph& graph, const Sizes& sizes) {
  Json all = Json::array();
  for (std::size_t v = 0; v < graph.values().size(); ++v) {
    const ValueType& type = graph.values()[v].type;
    const auto size = sizes.find(static_cast<ValueId>(v));
    if (type.kind != ValueKind::space || type.dims == 0 || size == sizes.end()) continue;
    Json level = {{"stride", type.stride}, {"voxels", size->second}};
    for (std::size_t m = 0; m < graph.values().size(); ++m) {
      const ValueType& map = graph.values()[m].type;
      const auto pairs = sizes.find(static_cast<ValueId>(m));
      if (map.kind == ValueKind::map && map.space == static_cast<ValueId>(v) && map.target == map.space &&
          pairs != sizes.end()) {
        level["maps"].push_back({{"offsets", map.channels}, {"pairs", pairs->second}});
      }
    }
    all.push_back(level);
  }
  return all;
}

/// Rows of the inputs that are points.
std::int64_t points_of(const Graph& graph, const Sizes& sizes) {
  std::int64_t points = 0;
  for (const std::int32_t n : graph.inputs()) {
    const ValueId space = graph.nodes()[static_cast<std::size_t>(n)].outputs[0];
    if (graph.type(space).dims == 0) points += sizes.at(space);
  }
  return points;
}

Model load(const Options& o) {
  RAREFY_CHECK(o.model.empty() || o.builder.empty(), UsageError,
               "inspect: give either a model file or --builder, not both");
  if (!o.builder.empty()) return build_model(o.builder, o.width, o.voxel, o.classes, o.settings);
  return Model::load(find_model(o.model));
}

Json describe(const Options& o, const Model& model) {
  const Graph& graph = model.graph();
  Json json;
  if (o.builder.empty()) {
    json["model"] = find_model(o.model);
  } else {
    json["builder"] = o.builder;
    json["width"] = o.width;
  }
  json["parameters"] = graph.parameters();
  json["nodes"] = graph.nodes().size();
  for (const std::int32_t i : graph.inputs()) json["inputs"].push_back(graph.nodes()[static_cast<std::size_t>(i)].name);
  for (const GraphOutput& output : graph.outputs()) json["outputs"].push_back(output.name);
  json["weight_bytes"] = weight_bytes(model);

  Sizes sizes;
  bool known = false;
  if (!o.scan.empty()) {
    const auto measured =
        measure_sizes(model, load_scan(o.scan, {.format = o.format, .strict = false}), threads_or_all(o.threads));
    sizes = measured.sizes;
    json["scan"] = o.scan;
    json["points"] = measured.points;
    known = true;
  } else if (!o.voxels.empty()) {
    LevelSizes levels{o.voxels, o.pairs, false};
    sizes = sizes_of_levels(graph, levels);
    json["estimated"] = levels.estimated;
    known = true;
  }
  if (known) {
    json["macs"] = multiply_adds(graph, sizes);
    json["levels"] = levels_json(graph, sizes);
    json["memory_mb"] = expected_memory_mb(model, *Plan::compile(model), sizes, points_of(graph, sizes));
  }
  json["ops"] = ops_json(graph, known ? &sizes : nullptr);
  if (model.pipeline()) json["pipeline"] = pipeline_json(*model.pipeline());
  if (!model.notes.empty()) json["notes"] = model.notes;
  return json;
}

std::string joined(const Json& list) {
  std::string text;
  for (const auto& item : list)
    text += (text.empty() ? "" : ", ") + (item.is_string() ? item.get<std::string>() : item.dump());
  return text;
}

void print_text(const Json& j) {
  if (j.contains("model")) {
    print("model       {}\n", j["model"].get<std::string>());
  } else {
    print("builder     {} at width {}\n", j["builder"].get<std::string>(), j["width"].get<double>());
  }
  print("parameters  {} ({:.1f} MB stored)\n", j["parameters"].get<std::int64_t>(),
        j["weight_bytes"].get<double>() / 1e6);
  print("nodes       {}\n", j["nodes"].get<std::int64_t>());
  print("inputs      {}\noutputs     {}\n", joined(j["inputs"]), joined(j["outputs"]));
  if (j.contains("macs")) {
    print("multiply-adds  {:.3f} G{}\n", j["macs"].get<double>() / 1e9,
          j.value("estimated", false) ? " (partly estimated sizes)" : "");
    print("memory      {:.0f} MB expected at most, for one run in one thread\n", j["memory_mb"].get<double>());
    for (const auto& level : j["levels"]) {
      print("  stride {:>3}  {:>8} voxels", level["stride"][0].get<int>(), level["voxels"].get<std::int64_t>());
      if (level.contains("maps")) {
        for (const auto& map : level["maps"])
          print("  {:>8} pairs over {} offsets", map["pairs"].get<std::int64_t>(), map["offsets"].get<int>());
      }
      print("\n");
    }
  }
  print("{:<20} {:>6} {:>12} {:>12}\n", "op", "nodes", "parameters", j.contains("macs") ? "M mult-adds" : "");
  for (const auto& row : j["ops"]) {
    print("{:<20} {:>6} {:>12} {:>12}\n", row["op"].get<std::string>(), row["nodes"].get<std::int64_t>(),
          row["parameters"].get<std::int64_t>(),
          row.contains("macs") ? fmt::format("{:.1f}", row["macs"].get<double>() / 1e6) : "");
  }
  if (!j.contains("pipeline")) return;
  const auto& p = j["pipeline"];
  print("pipeline    voxels of {} m, {}, {} of the points in each\n", joined(p["voxel_size"]),
        p["rounding"].get<std::string>(), p["reduction"].get<std::string>());
  std::string names;
  for (const auto& f : p["features"]) names += (names.empty() ? "" : ", ") + f["name"].get<std::string>();
  print("features    {}\n", names);
  names.clear();
  for (const auto& c : p["classes"]) names += (names.empty() ? "" : ", ") + c["name"].get<std::string>();
  print("classes     {}: {}\n", p["classes"].size(), names);
  if (j.contains("notes")) {
    for (const auto& [key, value] : j["notes"].items()) print("note        {}: {}\n", key, value.get<std::string>());
  }
}

void inspect_model(const Options& o) {
  RAREFY_CHECK(o.scan.empty() || o.voxels.empty(), UsageError, "inspect: give either --scan or --voxels, not both");
  const Model model = load(o);
  if (!o.save.empty()) model.save(o.save);
  if (o.dot) return print(std::string_view(model.graph().to_dot()));
  if (o.text) return print(std::string_view(model.graph().to_text()));
  const Json json = describe(o, model);
  if (o.json) return print_json(json);
  print_text(json);
}

}  // namespace

void inspect(CLI::App& command) {
  command.description("Parameters, ops, multiply-adds and pipeline of a model");
  set_examples(command,
               "  rarefy inspect street.safetensors\n"
               "  rarefy inspect street.safetensors --scan scan.bin     with the multiply-adds of that scan\n"
               "  rarefy inspect --builder minkunet --width 0.5 --json\n"
               "  rarefy inspect --builder minkunet --voxels 90695,64066,37870,18295,7527 --pairs "
               "301213,330888,273098,165613,77581\n"
               "  rarefy inspect --builder sparse_unet --set dims=2 --set levels=6 --text\n"
               "  rarefy inspect street.safetensors --dot | dot -Tsvg > graph.svg\n");
  auto o = std::make_shared<Options>();
  command.add_option("MODEL", o->model, "Model file (default: the one that segment uses)");
  command.add_option("--builder", o->builder, "A published network instead of a file: " + models::names());
  command.add_option("--set", o->settings, "Builder: NAME=NUMBER, may repeat. " + models::settings_help());
  command.add_option("--width", o->width, "Builder: factor on all channel counts")->check(CLI::PositiveNumber);
  command.add_option("--classes", o->classes, "Builder: number of classes")->check(CLI::Range(1, 254));
  command.add_option("--voxel", o->voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--scan", o->scan, "Count multiply-adds for this scan");
  add_format(command, o->format);
  command
      .add_option("--voxels", o->voxels,
                  "Count multiply-adds for these voxels per level (missing levels are estimated)")
      ->delimiter(',');
  command
      .add_option("--pairs", o->pairs, "With --voxels: pairs of the 3x3x3 maps per level (missing ones are estimated)")
      ->delimiter(',');
  command.add_option("--save", o->save, "Write the model to this file; a builder's has random weights");
  command.add_flag("--text", o->text, "One line per node");
  command.add_flag("--dot", o->dot, "Graphviz");
  add_json(command, o->json);
  add_threads(command, o->threads);
  command.callback([o] { inspect_model(*o); });
}

}  // namespace rarefy::cli::commands
