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
};

/// A builder and what it says of itself.
struct ModelDef {
  std::string name;
  std::string doc;
  /// Graph with input "points" (x, y, z, intensity) and outputs "labels" (uint8 per point) and "logits" (per voxel).
  Graph (*build)(const ModelOptions& options) = nullptr;
};

/// One per file of src/models.
RAREFY_API const std::vector<ModelDef>& all();
/// @throws UsageError naming the candidates.
RAREFY_API const ModelDef& at(std::string_view name);
/// SemanticKITTI pipeline as published: floor, 5 cm, raw x, y, z, intensity, 19 classes, official map.
RAREFY_API Pipeline semantic_kitti_pipeline(double voxel_size = 0.05);

}  // namespace rarefy::models
