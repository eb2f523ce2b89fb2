#include "data/sets/data_set.h"

#include <charconv>
#include <set>

#include "base/check.h"
#include "base/file.h"
#include "data/formats/formats.h"
#include "data/formats/npy_array.h"
#include "data/sets/data_set_list.h"

namespace rarefy {
namespace {

/// Official training ids plus one (0 = unlabelled) as raw ids, so that everything downstream knows one kind of label.
std::vector<std::uint32_t> load_training_plus_one(const std::string& path, std::int64_t points) {
  const NpyArray array = read_npy(path);
  RAREFY_CHECK(array.elements() == points, InputError, "{}: labels are {}, but the scan has {} points", path,
               array.describe(), points);
  const LabelMap& map = label_map("semantic_kitti");
  const std::vector<std::int64_t> ids = array.to_integers();
  std::vector<std::uint32_t> raw(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    RAREFY_CHECK(ids[i] >= 0 && ids[i] <= map.classes(), InputError,
                 "{}: element {} is {}, expected a training class from 0 (unlabelled) to {}", path, i, ids[i],
                 map.classes());
    raw[i] = ids[i] == 0 ? 0u : map.raw(static_cast<std::uint8_t>(ids[i] - 1));
  }
  return raw;
}

}  // namespace

Scan ScanSource::load(std::int64_t index) const {
  RAREFY_CHECK(index >= 0 && index < size(), UsageError, "data set {}: scan {} of {}", set, index, size());
  const ScanEntry& entry = entries[static_cast<std::size_t>(index)];
  Scan scan = load_scan(entry.scan);
  if (entry.kind == LabelFile::raw) scan.labels = load_labels(entry.labels, scan.size());
  if (entry.kind == LabelFile::training_plus_one) scan.labels = load_training_plus_one(entry.labels, scan.size());
  return scan;
}

std::int64_t ScanSource::groups() const {
  std::set<std::string_view> names;
  for (const ScanEntry& entry : entries) names.insert(entry.group);
  return static_cast<std::int64_t>(names.size());
}

std::span<const DataSet> data_sets() {
  static const DataSet all[] = {
#define RAREFY_DATA_SET(stem) sets::stem(),
#include "data_set_list.inc"
#undef RAREFY_DATA_SET
  };
  return all;
}

ScanSource open_data_set(const std::string& path, const std::string& set, const DataSetOptions& options) {
  RAREFY_CHECK(path_exists(path), IoError, "{}: no such data set: nothing is there; check the path", path);
  const DataSet* chosen = nullptr;
  int surest = 0;
  std::string known;
  for (const DataSet& candidate : data_sets()) {
    known += fmt::format("{}{} ({})", known.empty() ? "" : "; ", candidate.name, candidate.doc);
    const int sure = set == "auto" ? candidate.recognises(path) : candidate.name == set ? 1 : 0;
    if (sure <= surest) continue;
    surest = sure;
    chosen = &candidate;
  }
  if (chosen == nullptr && set == "auto")
    fail<UsageError>("{}: looks like none of the known data sets: {}", path, known);
  if (chosen == nullptr) fail<UsageError>("unknown data set '{}'; known are: {}", set, known);
  ScanSource source = chosen->open(path, options);
  source.set = chosen->name;
  RAREFY_CHECK(!source.entries.empty(), InputError, "{}: no scans found as data set '{}' ({})", path, chosen->name,
               chosen->doc);
  return source;
}

std::vector<std::string> parse_sequences(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    int first = 0, last = 0;
    const char* const end = part.data() + part.size();
    auto [at, error] = std::from_chars(part.data(), end, first);
    if (error == std::errc() && at == end) {
      names.push_back(fmt::format("{:02}", first));
    } else if (error == std::errc() && *at == '-') {
      const auto [stop, second] = std::from_chars(at + 1, end, last);
      RAREFY_CHECK(second == std::errc() && stop == end && first <= last && last < 100000, UsageError,
                   "sequences: '{}' is no range; expected something like 0-7,9,10", part);
      for (int i = first; i <= last; ++i) names.push_back(fmt::format("{:02}", i));
    } else if (!part.empty()) {
      names.emplace_back(part);
    }
  }
  return names;
}

}  // namespace rarefy
