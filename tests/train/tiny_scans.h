#pragma once
/// Small labelled scans: a ground with boxes, poles and a wall on it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/rng.h"
#include "data/formats/formats.h"
#include "data/sample.h"

namespace rarefy::test {

/// Raw SemanticKITTI labels: road 40, car 10, pole 80, building 50.
inline Scan tiny_scan(std::uint64_t seed, std::int64_t points) {
  Rng rng(seed);
  Scan scan;
  for (std::int64_t i = 0; i < points; ++i) {
    const double kind = rng.uniform();
    double x = rng.uniform(-8, 8), y = rng.uniform(-8, 8), z = rng.uniform(-1.8, -1.7);
    std::uint32_t label = 40;
    if (kind < 0.2)
      x = rng.uniform(2, 4), y = rng.uniform(-1, 1), z = rng.uniform(-1.6, -0.4), label = 10;
    else if (kind < 0.3)
      x = rng.uniform(-4.1, -4), y = rng.uniform(3, 3.1), z = rng.uniform(-1.6, 2), label = 80;
    else if (kind < 0.5)
      y = rng.uniform(8.5, 9), z = rng.uniform(-1.6, 3), label = 50;
    for (const double v : {x, y, z}) scan.xyz.push_back(static_cast<float>(v));
    scan.intensity.push_back(static_cast<float>(rng.uniform()));
    scan.labels.push_back(label);
  }
  return scan;
}

/// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rarefy-train-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// `scans` tiny scans in SemanticKITTI's layout.
inline void write_tiny_data(const std::string& root, int scans, std::int64_t points) {
  make_directories(root + "/sequences/00/velodyne");
  make_directories(root + "/sequences/00/labels");
  for (int i = 0; i < scans; ++i) {
    const Scan scan = tiny_scan(static_cast<std::uint64_t>(i), points);
    const std::string number = "00000" + std::to_string(i);
    save_scan(root + "/sequences/00/velodyne/" + number + ".bin", scan);
    save_labels(root + "/sequences/00/labels/" + number + ".label", scan.labels);
  }
}

}  // namespace rarefy::test
