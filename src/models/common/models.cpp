#include "rarefy/models.h"

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

const ModelDef& at(std::string_view name) {
  std::vector<std::string> known;
  for (const ModelDef& def : all()) {
    if (def.name == name) return def;
    known.push_back(def.name);
  }
  fail<UsageError>("there is no model builder '{}'{}", name, did_you_mean(name, known));
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
