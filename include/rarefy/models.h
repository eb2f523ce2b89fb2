#pragma once
/// Builders of published networks. Each returns structure and pipeline; weights come from training or a file.
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rarefy/export.h"
#include "rarefy/graph.h"
#include "rarefy/model.h"

namespace rarefy::models {

/// What every builder understands; a builder says in its doc which fields it uses.
struct ModelOptions {
  double width = 1.0;  ///< factor on all channel counts
  std::int64_t classes = 19;
  Pipeline pipeline = {};  ///< voxel size, features, classes
  /// What else the builder offers, by name (ModelDef::settings); what is not given takes its default.
  std::map<std::string, std::int64_t> settings = {};
};

/// A whole number that a builder takes beyond what every builder understands.
struct ModelSetting {
  std::string name;
  std::int64_t default_value = 0;
  std::string doc;
};

/// What a network reads.
enum class Takes : std::uint8_t {
  points,  ///< "points": a scan, [P, 4]
  image,   ///< "image": pixels, line by line, [height * width, 3], RGB from 0 to 1
  tokens,  ///< "tokens": [N, 2], number of a word and of a type
};
/// "points", "an image", "tokens".
RAREFY_API std::string_view name(Takes takes);

/// A builder and what it says of itself.
struct ModelDef {
  std::string name;
  std::string doc;
  std::vector<ModelSetting> settings = {};
  Takes takes = Takes::points;
  /// Of points: a graph with input "points" (x, y, z, intensity) and, unless labels_points is false, outputs "labels"
  /// (uint8 per point) and "logits" (per voxel). Others say so in their doc.
  Graph (*build)(const ModelOptions& options) = nullptr;
  bool labels_points = true;
  /// The pipeline that it was published with, where the task has another one than semantic_kitti_pipeline; or null.
  Pipeline (*pipeline)() = nullptr;
};

/// One per file of src/models.
RAREFY_API const std::vector<ModelDef>& all();
/// Those that take such input.
RAREFY_API std::vector<ModelDef> taking(Takes takes);
/// Those that take points and label them.
RAREFY_API std::vector<ModelDef> labelling();
/// @throws UsageError naming the candidates.
RAREFY_API const ModelDef& at(std::string_view name);
/// The value of a setting: the given one, or its default. @throws UsageError when the builder has none of this name.
RAREFY_API std::int64_t setting(const ModelDef& def, const ModelOptions& options, std::string_view name);
/// Adds settings written as NAME=NUMBER. `dims` also gives the pipeline's voxel size that many equal entries.
/// @throws UsageError naming a text of another form
RAREFY_API void add_settings(const std::vector<std::string>& texts, ModelOptions& options);
/// "minkunet, spvcnn, ..." and the settings of those that have some, of the builders that take points: for help texts.
RAREFY_API std::string names();
RAREFY_API std::string settings_help();
/// at(name).build(options). @throws UsageError for a setting that the builder does not have.
RAREFY_API Graph build(std::string_view name, const ModelOptions& options);
/// Pixels of the images that a network reads.
struct ImageSize {
  std::int64_t height = 0, width = 0;
};
/// Of the input "image"; nothing when the graph has none, or does not say.
RAREFY_API std::optional<ImageSize> image_size(const Graph& graph);
/// CenterPoint's pipeline for nuScenes at 7.5 cm as in OpenPCDet: range 54 m, voxels of 0.075 x 0.075 x 0.2 m counted
/// from its corner, mean of the points' x, y, z and intensity (0..255 in the data, 0..1 here). Without the time lag of
/// aggregated sweeps, which the published one has as a fifth feature. No classes: the encoder has no head.
RAREFY_API Pipeline nuscenes_detection_pipeline();
/// SemanticKITTI pipeline as published: floor, 5 cm, raw x, y, z, intensity, 19 classes, official map.
RAREFY_API Pipeline semantic_kitti_pipeline(double voxel_size = 0.05);

}  // namespace rarefy::models
