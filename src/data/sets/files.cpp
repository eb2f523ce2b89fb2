/// Plain scan files: one, or all in a folder. Labels come from the file itself, from STEM.label beside it, or from a
/// folder `labels` beside the scan's folder.
#include "base/check.h"
#include "base/file.h"
#include "data/formats/formats.h"
#include "data/sets/data_set_list.h"

namespace rarefy::sets {
namespace {

std::string find_labels(const std::string& scan) {
  const std::string name(file_name(scan));
  const std::string folder = scan.substr(0, scan.size() - name.size());
  const std::string label = name.substr(0, name.find('.')) + ".label";
  for (const std::string& candidate : {folder + label, folder + "../labels/" + label})
    if (path_exists(candidate)) return candidate;
  return "";
}

int recognises(const std::string& path) {
  if (!is_directory(path)) return has_scan_extension(path) ? 1 : 0;
  for (const std::string& name : list_directory(path))
    if (has_scan_extension(name)) return 1;
  return 0;
}

ScanSource open(const std::string& path, const DataSetOptions& options) {
  std::vector<std::string> scans;
  if (is_directory(path)) {
    for (const std::string& name : list_directory(path))
      if (has_scan_extension(name)) scans.push_back(join_path(path, name));
  } else {
    scans.push_back(path);
  }
  ScanSource source;
  for (const std::string& scan : scans) {
    ScanEntry entry{.name = std::string(file_name(scan)), .group = std::string(file_name(scan)), .scan = scan};
    entry.labels = find_labels(scan);
    entry.kind = entry.labels.empty() ? LabelFile::none : LabelFile::raw;
    const bool may_carry_labels = scan.ends_with(".ply") || scan.ends_with(".pcd") || scan.ends_with(".npz");
    RAREFY_CHECK(options.labels == NeedLabels::no || entry.kind != LabelFile::none || may_carry_labels, InputError,
                 "{}: no labels: expected {}.label beside it or in ../labels", scan,
                 entry.name.substr(0, entry.name.find('.')));
    source.entries.push_back(std::move(entry));
  }
  return source;
}

}  // namespace

DataSet files() {
  return {.name = "files",
          .doc = "scan files of any known format, labels as STEM.label beside them or in ../labels",
          .recognises = recognises,
          .open = open};
}

}  // namespace rarefy::sets
