#pragma once
/// What networks over images share.
#include <vector>

#include "graph/images/image.h"
#include "rarefy/models.h"

namespace rarefy::models {

/// The settings "image", "height" and "width".
std::vector<ModelSetting> image_settings(std::int64_t side);
/// What they say. @throws UsageError for a side outside 1 to 32768
ImageExtent image_extent(const ModelDef& def, const ModelOptions& options);

}  // namespace rarefy::models
