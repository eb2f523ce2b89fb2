// rarefy convert: weights of other libraries' checkpoints become a model file.
#include "models/foreign/convert.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "common/command.h"
#include "common/console.h"
#include "graph/json_io.h"
#include "rarefy/models.h"

namespace rarefy::cli::commands {
namespace {

using Json = nlohmann::ordered_json;
namespace foreign = models::foreign;

struct Options {
  std::string checkpoint, from, like, builder, axes, out;
  std::vector<std::string> settings;
  double width = 1.0, voxel = 0.05;
  std::int64_t classes = 19;
  bool json = false;
};

/// What the projects feed their MinkUNet with: cells by rounding from the smallest coordinate, the first point of each.
Pipeline pipeline_of(const Options& o) {
  Pipeline pipeline = models::semantic_kitti_pipeline(o.voxel);
  if (o.from == "spvnas" || o.from == "mmdet3d") {
    pipeline.rounding = "round_minus_min";
    pipeline.reduction = "first";
  }
  if (o.from == "spvnas") pipeline.label_map = "spvnas";
  return pipeline;
}

/// Graph and pipeline to fill; weights do not matter.
Model target(const Options& o) {
  RAREFY_CHECK(o.like.empty() != o.builder.empty(), UsageError,
               "convert: say what the weights are for: either --like MODEL or --builder NAME");
  if (!o.builder.empty()) {
    models::ModelOptions options{.width = o.width, .classes = o.classes, .pipeline = pipeline_of(o)};
    models::add_settings(o.settings, options);
    const bool points = models::at(o.builder).takes == models::Takes::points;
    return {models::build(o.builder, options), {}, points ? std::optional(options.pipeline) : std::nullopt};
  }
  const std::string_view name = file_name(o.like);
  if (name.size() > 5 && name.substr(name.size() - 5) == ".json")
    return {graph_from_json(read_text(o.like), OpSet::builtin(), o.like), {}, {}};
  return Model::load(o.like);
}

foreign::Source source_of(const Options& o) {
  foreign::Source source = foreign::source(o.from);
  if (!o.axes.empty()) source.axes = o.axes == "zyx" ? foreign::AxisOrder::zyx : foreign::AxisOrder::xyz;
  return source;
}

Json report(const Options& o, const foreign::StateDict& dict, const foreign::Conversion& c) {
  std::int64_t by_name = 0;
  Json layers = Json::array(), differs = Json::array();
  for (const foreign::Match& m : c.matched) {
    by_name += m.by_name ? 1 : 0;
    layers.push_back({{"ours", m.ours}, {"theirs", m.theirs}, {"by", m.by_name ? "name" : "order"}});
  }
  for (const foreign::Difference& d : c.differs)
    differs.push_back({{"ours", d.ours}, {"theirs", d.theirs}, {"wanted", d.wanted}, {"found", d.found}});
  Json json = {{"checkpoint", o.checkpoint},
               {"from", o.from},
               {"tensors", dict.tensors.size()},
               {"ordered", dict.ordered},
               {"by_name", by_name},
               {"by_order", static_cast<std::int64_t>(c.matched.size()) - by_name},
               {"matched", layers},
               {"missing", c.missing},
               {"differs", differs},
               {"unexpected", c.unexpected}};
  if (c.complete()) json["out"] = o.out;
  return json;
}

void print_text(const Json& j) {
  print("{} layers found: {} by name, {} by shape and order\n", j["matched"].size(), j["by_name"].get<int>(),
        j["by_order"].get<int>());
  for (const auto& m : j["matched"])
    if (m["by"] == "order")
      print("  order       {} <- {}\n", m["ours"].get<std::string>(), m["theirs"].get<std::string>());
  for (const auto& text : j["unexpected"]) print("  not used    {}\n", text.get<std::string>());
  for (const auto& d : j["differs"]) {
    print("  differs     {} wants {}; {} has {}\n", d["ours"].get<std::string>(), d["wanted"].get<std::string>(),
          d["theirs"].get<std::string>(), d["found"].get<std::string>());
  }
  for (const auto& text : j["missing"]) print("  missing     {}\n", text.get<std::string>());
  if (j.contains("out")) print("written: {}\n", j["out"].get<std::string>());
}

void convert_checkpoint(const Options& o) {
  const foreign::Source source = source_of(o);
  const Model model = target(o);
  const foreign::StateDict dict = foreign::load_state_dict(o.checkpoint);
  const foreign::Conversion c = foreign::convert(model.graph(), dict, source);
  const Json json = report(o, dict, c);
  if (c.complete()) {
    Model result(model.graph(), c.weights, model.pipeline());
    result.notes = model.notes;
    result.notes["converted_from"] = fmt::format("{} ({})", file_name(o.checkpoint), o.from);
    result.save(o.out);
  }
  if (o.json) {
    print_json(json);
  } else {
    print_text(json);
  }
  if (!dict.ordered && json["by_order"].get<int>() > 0) {
    notice(
        fmt::format("{}: does not keep the order of its state dict, so layers of equal shape were matched in the "
                    "order of their names; check the list, or write the file with tools/pt_to_safetensors.py",
                    o.checkpoint));
  }
  if (!c.complete()) {
    complain(fmt::format("{}: {} layers are missing and {} differ in shape; nothing was written", o.checkpoint,
                         c.missing.size(), c.differs.size()));
    throw Exit{kFailure};
  }
}

}  // namespace

void convert(CLI::App& command) {
  command.description("Make a model file from another library's checkpoint");
  std::string examples =
      "  rarefy convert minkunet.safetensors --from spvnas --builder minkunet --width 0.5 --out model.safetensors\n"
      "  rarefy convert ckpt.safetensors --from minkowski --like mine.safetensors --out model.safetensors\n"
      "  tools/pt_to_safetensors.py ckpt.pt ckpt.safetensors      PyTorch's own files first\n\n"
      "Importers:\n";
  std::vector<std::string> names;
  for (const foreign::Source& source : foreign::sources()) {
    names.push_back(source.name);
    examples += fmt::format("  {:<12} {}\n", source.name, source.doc);
  }
  set_examples(command, examples);
  auto o = std::make_shared<Options>();
  command.add_option("CHECKPOINT", o->checkpoint, "State dict as a safetensors file")->required();
  command.add_option("--from", o->from, "Whose layout and names: " + fmt::format("{}", fmt::join(names, ", ")))
      ->required();
  command.add_option("--like", o->like, "Model file (or graph as .json) whose weights these are, by shape and order");
  command.add_option("--builder", o->builder, "A published network instead");
  command.add_option("--width", o->width, "Builder: factor on all channel counts")->check(CLI::PositiveNumber);
  command.add_option("--classes", o->classes, "Builder: number of classes")->check(CLI::Range(1, 65536));
  command.add_option("--set", o->settings, "Builder: NAME=NUMBER, may repeat; `rarefy info --builders` lists them");
  command.add_option("--voxel", o->voxel, "Builder: voxel edge in metres")->check(CLI::PositiveNumber);
  command.add_option("--axes", o->axes, "Order of the checkpoint's axes (default: the importer's)")
      ->check(CLI::IsMember({"xyz", "zyx"}));
  command.add_option("--out", o->out, "Model file to write")->required();
  add_json(command, o->json);
  command.callback([o] { convert_checkpoint(*o); });
}

}  // namespace rarefy::cli::commands
