/// Labelled scans without intensity as Open3D-ML's demo has them: [PREFIX_]points_NNN.npy float32 [N, 3] and
/// [PREFIX_]labels_NNN.npy int32 [N, 1] in official training classes plus one.
#include "base/check.h"
#include "base/file.h"
#include "data/sets/data_set_list.h"

namespace rarefy::sets {
namespace {

constexpr std::string_view kPoints = "points_", kLabels = "labels_";

ScanSource list(const std::string& path) {
  ScanSource source;
  if (!is_directory(path)) return source;
  for (const std::string& file : list_directory(path)) {
    const std::size_t at = file.find(kPoints);
    if (at == std::string::npos || !file.ends_with(".npy")) continue;
    std::string labels = file;
    labels.replace(at, kPoints.size(), kLabels);
    ScanEntry entry{
        .name = file.substr(0, file.size() - 4), .scan = join_path(path, file), .labels = join_path(path, labels)};
    entry.kind = path_exists(entry.labels) ? LabelFile::training_plus_one : LabelFile::none;
    // Scans with one prefix are consecutive; one without a prefix stands alone.
    entry.group = at > 0 ? file.substr(0, at - 1) : entry.name;
    source.entries.push_back(std::move(entry));
  }
  return source;
}

int recognises(const std::string& path) {
  const ScanSource source = list(path);
  for (const ScanEntry& entry : source.entries)
    if (entry.kind != LabelFile::none) return 2;
  return 0;
}

ScanSource open(const std::string& path, const DataSetOptions& options) {
  ScanSource all = list(path), source;
  for (ScanEntry& entry : all.entries) {
    RAREFY_CHECK(options.labels == NeedLabels::no || entry.kind != LabelFile::none, InputError,
                 "{}: missing labels of {}", entry.labels, entry.scan);
    if (entry.kind == LabelFile::none) entry.labels.clear();
    bool wanted = options.sequences.empty();
    for (const std::string& name : options.sequences) wanted |= name == entry.group;
    if (wanted) source.entries.push_back(std::move(entry));
  }
  return source;
}

}  // namespace

DataSet semantic_kitti_xyz() {
  return {.name = "semantic_kitti_xyz",
          .doc = "points_NNN.npy [N, 3] and labels_NNN.npy [N, 1] in 19 training classes plus one",
          .recognises = recognises,
          .open = open};
}

}  // namespace rarefy::sets
