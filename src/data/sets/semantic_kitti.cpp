/// SemanticKITTI and what has its layout: sequences/NN/velodyne/*.bin, sequences/NN/labels/*.label.
#include "data/sets/semantic_kitti.h"

#include <algorithm>

#include "base/check.h"
#include "base/file.h"
#include "data/sets/data_set_list.h"

namespace rarefy {

std::string SequenceFolder::scan(int frame) const { return fmt::format("{}/{:06}.bin", velodyne(), frame); }
std::string SequenceFolder::label(int frame) const { return fmt::format("{}/{:06}.label", labels(), frame); }

SequenceFolder sequence_folder(const std::string& root, const std::string& name) {
  return {join_path(join_path(root, "sequences"), name)};
}

namespace sets {
namespace {

/// The folder that holds the sequences: the set's root, its `sequences`, or the parent when one sequence is named.
struct Root {
  std::string folder;
  std::vector<std::string> names;
};

Root find_root(const std::string& path) {
  std::string clean = path;
  while (clean.size() > 1 && clean.ends_with('/')) clean.pop_back();
  if (is_directory(join_path(clean, "velodyne"))) {
    const std::string name(file_name(clean));
    return {clean.substr(0, clean.size() - name.size()), {name}};
  }
  const std::string inner = join_path(clean, "sequences");
  const std::string folder = is_directory(inner) ? inner : clean;
  Root root{folder, {}};
  if (!is_directory(folder)) return root;
  for (const std::string& name : list_directory(folder))
    if (is_directory(join_path(join_path(folder, name), "velodyne"))) root.names.push_back(name);
  return root;
}

int recognises(const std::string& path) { return find_root(path).names.empty() ? 0 : 2; }

std::vector<std::string> choose(const Root& root, const std::vector<std::string>& wanted, const std::string& path) {
  if (wanted.empty()) return root.names;
  for (const std::string& name : wanted)
    RAREFY_CHECK(std::find(root.names.begin(), root.names.end(), name) != root.names.end(), InputError,
                 "{}: no sequence '{}'; there are: {}", path, name, fmt::join(root.names, ", "));
  return wanted;
}

void add_sequence(const std::string& folder, const std::string& name, NeedLabels need, ScanSource& source) {
  const SequenceFolder sequence{join_path(folder, name)};
  std::int64_t missing = 0, scans = 0;
  std::string first_missing;
  for (const std::string& file : list_directory(sequence.velodyne())) {
    if (!file.ends_with(".bin")) continue;
    ++scans;
    const std::string stem = file.substr(0, file.size() - 4);
    ScanEntry entry{.name = name + "/" + stem, .group = name, .scan = join_path(sequence.velodyne(), file)};
    const std::string labels = join_path(sequence.labels(), stem + ".label");
    if (path_exists(labels)) {
      entry.labels = labels;
      entry.kind = LabelFile::raw;
    } else if (missing++ == 0) {
      first_missing = labels;
    }
    source.entries.push_back(std::move(entry));
  }
  RAREFY_CHECK(need == NeedLabels::no || missing == 0, InputError,
               "{}: missing: {} of {} scans of sequence {} have no label file; use labelled sequences (00 to 10)",
               first_missing, missing, scans, name);
}

ScanSource open(const std::string& path, const DataSetOptions& options) {
  const Root root = find_root(path);
  RAREFY_CHECK(!root.names.empty(), InputError, "{}: no folder sequences/NN/velodyne inside", path);
  ScanSource source;
  for (const std::string& name : choose(root, options.sequences, path))
    add_sequence(root.folder, name, options.labels, source);
  return source;
}

}  // namespace

DataSet semantic_kitti() {
  return {.name = "semantic_kitti",
          .doc = "sequences/NN/velodyne/*.bin and sequences/NN/labels/*.label",
          .recognises = recognises,
          .open = open};
}

}  // namespace sets
}  // namespace rarefy
