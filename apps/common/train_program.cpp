#include "common/train_program.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "base/file.h"
#include "common/machine.h"

namespace rarefy::cli {
namespace {

bool runs(const std::string& path) { return access(path.c_str(), X_OK) == 0 && !is_directory(path); }

}  // namespace

std::string find_train_program() {
  const std::string own = program_path();
  if (const std::string beside = own.substr(0, own.find_last_of('/') + 1) + "rarefy-train";
      !own.empty() && runs(beside)) {
    return beside;
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = join_path(folder.empty() ? "." : folder, "rarefy-train");
    if (runs(candidate)) return candidate;
  }
  return {};
}

}  // namespace rarefy::cli
