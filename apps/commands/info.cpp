// rarefy info: what this binary is and what this machine can do.
#include <fmt/ranges.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/cpu.h"
#include "common/build_info.h"
#include "common/command.h"
#include "common/console.h"
#include "common/machine.h"
#include "common/model_source.h"
#include "common/train_program.h"
#include "kernels/conv.h"
#include "kernels/conv_half.h"
#include "kernels/conv_int8.h"
#include "kernels/cpu/peak.h"
#include "rarefy/error.h"
#include "rarefy/graph.h"
#include "rarefy/models.h"
#include "rarefy/session.h"

namespace rarefy::cli::commands {
namespace {

struct Options {
  bool json = false;
  bool ops = false;
  bool builders = false;
};

std::string attribute_text(const Attribute& attribute) {
  return std::visit([](const auto& value) { return nlohmann::json(value).dump(); }, attribute);
}

/// What a graph may be made of: the op table.
nlohmann::ordered_json list_ops() {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const auto& [name, op] : OpSet::builtin().all()) {
    nlohmann::ordered_json attributes = nlohmann::ordered_json::array();
    for (const AttributeSpec& spec : op->attributes)
      attributes.push_back({{"name", spec.name},
                            {"default", spec.default_value ? attribute_text(*spec.default_value) : "(required)"},
                            {"doc", spec.doc}});
    all.push_back({{"name", name},
                   {"doc", op->doc},
                   {"inputs", op->inputs},
                   {"variadic", op->variadic},
                   {"outputs", op->outputs},
                   {"attributes", attributes}});
  }
  return all;
}

void print_ops(const nlohmann::ordered_json& ops) {
  for (const auto& op : ops) {
    const auto list = [&](const char* key) {
      return fmt::format("{}", fmt::join(op[key].get<std::vector<std::string>>(), ", "));
    };
    print("{}\n  {}\n  in: {}{}; out: {}\n", op["name"].get<std::string>(), op["doc"].get<std::string>(),
          list("inputs"), op["variadic"].get<bool>() ? ", ..." : "", list("outputs"));
    for (const auto& a : op["attributes"])
      print("  {} = {}   {}\n", a["name"].get<std::string>(), a["default"].get<std::string>(),
            a["doc"].get<std::string>());
  }
}

/// Published networks and what can be set about them.
nlohmann::ordered_json list_builders() {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const models::ModelDef& def : models::all()) {
    nlohmann::ordered_json settings = nlohmann::ordered_json::array();
    for (const models::ModelSetting& s : def.settings)
      settings.push_back({{"name", s.name}, {"default", s.default_value}, {"doc", s.doc}});
    all.push_back({{"name", def.name}, {"takes", models::name(def.takes)}, {"doc", def.doc}, {"settings", settings}});
  }
  return all;
}

void print_builders(const nlohmann::ordered_json& builders) {
  for (const auto& b : builders) {
    print("{} (takes {})\n  {}\n", b["name"].get<std::string>(), b["takes"].get<std::string>(),
          b["doc"].get<std::string>());
    for (const auto& s : b["settings"])
      print("  --set {}={}   {}\n", s["name"].get<std::string>(), s["default"].get<std::int64_t>(),
            s["doc"].get<std::string>());
  }
}

nlohmann::ordered_json variants() {
  const ConvVariant& selected = select_conv_variant();
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const ConvVariant& v : conv_variants()) {
    all.push_back(
        {{"name", name(v)}, {"available", runs_here(v)}, {"proven", v.proven}, {"selected", &v == &selected}});
  }
  return all;
}

nlohmann::ordered_json gather() {
  const BuildInfo& build = build_info();
  const cpu::Isa isa = cpu::allowed_isa();
  nlohmann::ordered_json json;
  json["version"] = build.version;
  json["commit"] = build.commit;
  json["cpu"] = {
      {"name", cpu::model_name()},
      {"cores", std::thread::hardware_concurrency()},
      {"memory_mb", static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6},
      {"avx2_fma", cpu::features().avx2_fma},
      {"avx512", cpu::features().avx512},
      {"avx512_vnni", cpu::features().avx512_vnni},
      {"avx512_fp16", cpu::features().avx512_fp16}};
  json["gpus"] = nlohmann::ordered_json::array();
  for (const GpuInfo& gpu : gpus())
    json["gpus"].push_back({{"name", gpu.name},
                            {"capability", gpu.capability},
                            {"memory_mb", static_cast<double>(gpu.memory_bytes) / 1e6}});
  json["isa"] = cpu::name(isa);
  nlohmann::ordered_json int8 = nlohmann::ordered_json::array();
  for (const Int8Variant& v : int8_variants())
    int8.push_back({{"name", v.name}, {"available", runs_here(v)}, {"most_bits", v.most_bits}});
  nlohmann::ordered_json half = nlohmann::ordered_json::array();
  const HalfVariant& selected_half = select_half_variant(isa);
  for (const HalfVariant& v : half_variants())
    half.push_back(
        {{"name", v.name}, {"available", runs_here(v)}, {"proven", v.proven}, {"selected", &v == &selected_half}});
  json["variants"] = {{"conv", variants()}, {"half", half}, {"int8", int8}};
  json["peak_gflops"] = {{"fp32", measure_peak_gflops(isa)}};
  json["build"] = {{"compiler", build.compiler},
                   {"type", build.build_type},
                   {"sanitize", build.sanitize},
                   {"simulator", build.simulator}};
  const std::string trainer = find_train_program();
  json["train_program"] = trainer.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(trainer);
  try {
    json["default_model"] = find_model("");
  } catch (const IoError&) {
    json["default_model"] = nullptr;
  }
  return json;
}

void print_text(const nlohmann::ordered_json& j) {
  const auto text = [](const nlohmann::ordered_json& value) { return value.get<std::string>(); };
  print("rarefy {} (commit {})\n", text(j["version"]), text(j["commit"]));
  for (const auto& gpu : j["gpus"])
    print("gpu       {}, compute capability {}, {:.0f} GB\n", text(gpu["name"]), text(gpu["capability"]),
          gpu["memory_mb"].get<double>() / 1000);
  print("cpu       {}, {} cores, {:.0f} GB\n", text(j["cpu"]["name"]), j["cpu"]["cores"].get<int>(),
        j["cpu"]["memory_mb"].get<double>() / 1000);
  print("peak      {:.0f} GFLOP/s per core, fp32 multiply-adds with {}, measured now\n",
        j["peak_gflops"]["fp32"].get<double>(), text(j["isa"]));
  for (const auto& [family, list] : j["variants"].items()) {
    print("kernels   {}:", family);
    for (const auto& v : list) {
      print(" {}{}", text(v["name"]),
            v["selected"].get<bool>()     ? " (selected)"
            : !v["available"].get<bool>() ? " (not on this CPU)"
            : !v["proven"].get<bool>()    ? " (unproven)"
                                          : "");
    }
    print("\n");
  }
  print("build     {}, {}{}, simulator {}\n", text(j["build"]["compiler"]), text(j["build"]["type"]),
        text(j["build"]["sanitize"]).empty() ? "" : ", sanitizer " + text(j["build"]["sanitize"]),
        j["build"]["simulator"].get<bool>() ? "yes" : "no (needs Embree)");
  print("training  {}\n", j["train_program"].is_null() ? "no rarefy-train here" : text(j["train_program"]));
  print("model     {}\n",
        j["default_model"].is_null() ? "none (name one with --model or RAREFY_MODEL)" : text(j["default_model"]));
  if (const std::string warning = busy_warning(); !warning.empty()) notice(warning);
}

}  // namespace

void info(CLI::App& command) {
  command.description("Version, commit, CPU, kernel variants, measured peak, build options");
  set_examples(command,
               "  rarefy info\n  rarefy info --json\n  rarefy info --ops                   what a model file may "
               "contain\n  RAREFY_ISA=avx2 rarefy info        what a forced variant reaches\n");
  auto options = std::make_shared<Options>();
  add_json(command, options->json);
  command.add_flag("--ops", options->ops, "List the ops that graphs are made of, with inputs, attributes and defaults");
  command.add_flag("--builders", options->builders, "List the published networks and their settings")
      ->excludes("--ops");
  command.callback([options] {
    if (options->builders) {
      options->json ? print_json(list_builders()) : print_builders(list_builders());
      return;
    }
    if (options->ops) {
      options->json ? print_json(list_ops()) : print_ops(list_ops());
      return;
    }
    const auto json = gather();
    if (options->json) {
      print_json(json);
    } else {
      print_text(json);
    }
  });
}

}  // namespace rarefy::cli::commands
