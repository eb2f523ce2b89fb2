#include "base/memory.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace rarefy {
namespace {

/// The number that a file consists of, or -1 ("max", no such file).
std::int64_t number_in(const char* path) {
  std::ifstream file(path);
  std::int64_t value = -1;
  return file >> value ? value : -1;
}

}  // namespace

std::int64_t available_memory() {
  std::int64_t available = -1;
  std::ifstream info("/proc/meminfo");
  std::string key, unit;
  for (std::int64_t value = 0; info >> key >> value; std::getline(info, unit)) {
    if (key == "MemAvailable:") available = value * 1024;
  }
  // Containers: version 2 of control groups, seen from inside.
  const std::int64_t limit = number_in("/sys/fs/cgroup/memory.max");
  const std::int64_t used = number_in("/sys/fs/cgroup/memory.current");
  if (limit < 0 || used < 0) return available;
  const std::int64_t left = std::max<std::int64_t>(0, limit - used);
  return available < 0 ? left : std::min(available, left);
}

}  // namespace rarefy
