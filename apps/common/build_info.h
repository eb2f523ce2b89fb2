#pragma once
/// What this binary is, as known when its build was configured.
#include <string>

namespace rarefy::cli {

struct BuildInfo {
  std::string version;
  std::string commit;  ///< "unknown" without git; ends in "-dirty" when files were changed
  std::string compiler;
  std::string build_type;
  std::string sanitize;       ///< empty in ordinary builds
  bool simulator = false;     ///< built with Embree
  std::string source_models;  ///< models/ of the sources: what a build tree finds its default model in
};
const BuildInfo& build_info();

}  // namespace rarefy::cli
