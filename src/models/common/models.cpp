#include "rarefy/models.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/check.h"
#include "base/text.h"

namespace rarefy::models {

#define RAREFY_MODEL(stem) ModelDef stem();
#include "model_list.inc"
#undef RAREFY_MODEL

const std::vector<ModelDef>& all() {
  static const std::vector<ModelDef> defs = {
#define RAREFY_MODEL(stem) stem(),
#include "model_list.inc"
#undef RAREFY_MODEL
  };
  return defs;
}

std::string_view name(Takes takes) {
  switch (takes) {
    case Takes::points:
      return "points";
    case Takes::image:
      return "an image";
    case Takes::tokens:
      return "tokens";
  }
  return "?";
}

std::vector<ModelDef> taking(Takes takes) {
  std::vector<ModelDef> result;
  std::copy_if(all().begin(), all().end(), std::back_inserter(result),
               [takes](const ModelDef& def) { return def.takes == takes; });
  return result;
}

std::vector<ModelDef> labelling() {
  std::vector<ModelDef> result = taking(Takes::points);
  std::erase_if(result, [](const ModelDef& def) { return !def.labels_points; });
  return result;
}

const ModelDef& at(std::string_view name) {
  std::vector<std::string> known;
  for (const ModelDef& def : all()) {
    if (def.name == name) return def;
    known.push_back(def.name);
  }
  fail<UsageError>("there is no model builder '{}'{}", name, did_you_mean(name, known));
}

std::int64_t setting(const ModelDef& def, const ModelOptions& options, std::string_view name) {
  std::vector<std::string> known;
  for (const ModelSetting& s : def.settings) {
    known.push_back(s.name);
    if (s.name != name) continue;
    const auto given = options.settings.find(s.name);
    return given == options.settings.end() ? s.default_value : given->second;
  }
  RAREFY_CHECK(!known.empty(), UsageError, "{} has no settings, '{}' was given", def.name, name);
  fail<UsageError>("{} has no setting '{}'{}", def.name, name, did_you_mean(name, known));
}

void add_settings(const std::vector<std::string>& texts, ModelOptions& options) {
  for (const std::string& text : texts) {
    const std::size_t equal = text.find('=');
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const bool whole = equal != std::string::npos && equal > 0 &&
                       std::from_chars(text.data() + equal + 1, end, value).ptr == end && text.back() != '=';
    RAREFY_CHECK(whole, UsageError, "setting '{}': expected NAME=NUMBER, a whole number", text);
    options.settings[text.substr(0, equal)] = value;
  }
  if (const auto dims = options.settings.find("dims"); dims != options.settings.end()) {
    RAREFY_CHECK(dims->second >= 1 && dims->second <= 4, UsageError, "dims is {}, expected 1 to 4", dims->second);
    options.pipeline.voxel_size.resize(static_cast<std::size_t>(dims->second), options.pipeline.voxel_size.at(0));
  }
}

std::string names() {
  std::vector<std::string> result;
  for (const ModelDef& def : taking(Takes::points)) result.push_back(def.name);
  return join(result);
}

std::string settings_help() {
  std::string result;
  for (const ModelDef& def : taking(Takes::points)) {
    if (def.settings.empty()) continue;
    std::vector<std::string> known;
    for (const ModelSetting& s : def.settings)
      known.push_back(fmt::format("{} ({}; {})", s.name, s.doc, s.default_value));
    result += fmt::format("{}{}: {}", result.empty() ? "" : ". ", def.name, join(known));
  }
  return result;
}

Graph build(std::string_view name, const ModelOptions& options) {
  const ModelDef& def = at(name);
  for (const auto& [given, unused] : options.settings) (void)setting(def, options, given);
  return def.build(options);
}

Pipeline nuscenes_detection_pipeline() {
  Pipeline p;
  p.voxel_size = {0.075, 0.075, 0.2};
  p.rounding = "floor_from_crop";
  p.crop_min = {-54.0, -54.0, -5.0};
  p.crop_max = {54.0, 54.0, 3.0};
  p.features = {{"x", "m"}, {"y", "m"}, {"z", "m"}, {"intensity", "1", 0.0, 255.0}};
  return p;
}

Pipeline semantic_kitti_pipeline(double voxel_size) {
  Pipeline p;
  p.voxel_size = {voxel_size, voxel_size, voxel_size};
  p.features = {{"x", "m"}, {"y", "m"}, {"z", "m"}, {"intensity", "1"}};
  // Names, raw ids and colours of the official configuration (semantic-kitti.yaml), in the order of its learning map.
  p.classes = {
      {"car", 10, {100, 150, 245}},      {"bicycle", 11, {100, 230, 245}},    {"motorcycle", 15, {30, 60, 150}},
      {"truck", 18, {80, 30, 180}},      {"other-vehicle", 20, {0, 0, 255}},  {"person", 30, {255, 30, 30}},
      {"bicyclist", 31, {255, 40, 200}}, {"motorcyclist", 32, {150, 30, 90}}, {"road", 40, {255, 0, 255}},
      {"parking", 44, {255, 150, 255}},  {"sidewalk", 48, {75, 0, 75}},       {"other-ground", 49, {175, 0, 75}},
      {"building", 50, {255, 200, 0}},   {"fence", 51, {255, 120, 50}},       {"vegetation", 70, {0, 175, 0}},
      {"trunk", 71, {135, 60, 0}},       {"terrain", 72, {150, 240, 80}},     {"pole", 80, {255, 240, 150}},
      {"traffic-sign", 81, {255, 0, 0}}};
  p.label_map = "semantic_kitti";
  return p;
}

}  // namespace rarefy::models
