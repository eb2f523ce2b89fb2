#include "common/model_source.h"

#include <cstdlib>

#include "base/check.h"
#include "base/file.h"
#include "common/build_info.h"
#include "common/machine.h"
#include "rarefy/models.h"

namespace rarefy::cli {

std::string find_model(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* wish = std::getenv("RAREFY_MODEL"); wish != nullptr && *wish != '\0') return wish;
  const std::string program = program_path();
  const std::string folder = program.substr(0, program.find_last_of('/') + 1);
  const std::string places[] = {folder + "../share/rarefy/models/street.safetensors",
                                build_info().source_models + "/street.safetensors"};
  for (const std::string& place : places) {
    if (path_exists(place)) return place;
  }
  fail<IoError>(
      "no model: there is neither {} nor {}; name one with --model FILE or the environment variable RAREFY_MODEL",
      places[0], places[1]);
}

Model build_model(const std::string& builder, double width, double voxel_size, std::int64_t classes,
                  const std::vector<std::string>& settings) {
  models::ModelOptions options;
  options.width = width;
  options.classes = classes;
  const models::ModelDef& def = models::at(builder);
  options.pipeline = def.pipeline != nullptr ? def.pipeline() : models::semantic_kitti_pipeline(voxel_size);
  models::add_settings(settings, options);
  const models::Takes takes = models::at(builder).takes;
  RAREFY_CHECK(takes == models::Takes::points, UsageError,
               "builder '{}' takes {}, this command needs one for points: {}", builder, models::name(takes),
               models::names());
  Graph graph = models::build(builder, options);
  Weights weights = initial_weights(graph, 1);
  return {std::move(graph), std::move(weights), options.pipeline};
}

}  // namespace rarefy::cli
