#pragma once
/// Progress is reported through a callback; below apps/ nothing prints.
#include <cstdint>
#include <functional>
#include <string_view>

namespace rarefy {

/// One report: `done` of `total` units of `what` ("scans", "steps").
struct ProgressReport {
  std::string_view what;
  std::int64_t done = 0;
  std::int64_t total = 0;
};
using Progress = std::function<void(const ProgressReport&)>;

}  // namespace rarefy
