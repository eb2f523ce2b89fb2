#pragma once
/// Where models come from: a file, the shipped one, or a builder with random weights.
#include <string>
#include <vector>

#include "rarefy/model.h"

namespace rarefy::cli {

/// The model file to use: `given` when not empty, else $RAREFY_MODEL, else the shipped street.safetensors beside the
/// installed program (../share/rarefy/models) or in the sources.
/// @throws IoError listing where it looked
std::string find_model(const std::string& given);

/// A builder's network with fresh weights (of a fixed seed) for the 19 classes of SemanticKITTI, or with the pipeline
/// that it was published with (ModelDef::pipeline; `voxel_size` is not looked at then).
/// @param settings  of the builder, as NAME=NUMBER
/// @throws UsageError naming the known builders, or settings
Model build_model(const std::string& builder, double width, double voxel_size, std::int64_t classes = 19,
                  const std::vector<std::string>& settings = {});

}  // namespace rarefy::cli
