#pragma once
/// The folder layout of SemanticKITTI, which the simulator writes, too.
#include <string>

namespace rarefy {

/// Paths inside one sequence: `root/sequences/NN/...`.
struct SequenceFolder {
  std::string path;
  std::string velodyne() const { return path + "/velodyne"; }
  std::string labels() const { return path + "/labels"; }
  /// `frame` as six digits: 000123.bin, 000123.label
  std::string scan(int frame) const;
  std::string label(int frame) const;
};

/// `root/sequences/NAME`; nothing is made on disk.
SequenceFolder sequence_folder(const std::string& root, const std::string& name);

}  // namespace rarefy
