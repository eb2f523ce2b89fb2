#pragma once
/// Data sets on disk. One .cpp per set in this folder; the build lists the folder, so a new set is a new file.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/labels.h"
#include "data/sample.h"
#include "data/scan.h"

namespace rarefy {

/// How the labels of an entry are stored.
enum class LabelFile : std::uint8_t {
  none,              ///< there are none, or the scan file itself carries them
  raw,               ///< SemanticKITTI .label
  training_plus_one  ///< .npy of official training ids plus one, 0 = unlabelled
};

/// One scan of a set, not loaded yet.
struct ScanEntry {
  std::string name;    ///< unique in the source, for people: "00/000123"
  std::string group;   ///< what belongs together (a street, a sequence): resampled as one in confidence intervals
  std::string scan;    ///< path
  std::string labels;  ///< path, empty when kind is none
  LabelFile kind = LabelFile::none;
};

/// A list of scans with their labels. Thread-safe once made.
struct ScanSource {
  std::string set;  ///< name of the data set
  std::vector<ScanEntry> entries;

  std::int64_t size() const { return static_cast<std::int64_t>(entries.size()); }
  /// The scan with raw labels where there are any.
  /// @throws IoError, InputError (damaged file, labels that do not fit the scan)
  Scan load(std::int64_t index) const;
  /// The scan with training labels.
  Sample load_sample(std::int64_t index, const LabelMap& map) const { return make_sample(load(index), map); }
  /// Number of different groups.
  std::int64_t groups() const;
};

enum class NeedLabels : std::uint8_t {
  yes,  ///< a scan without a label file is an error
  no,   ///< labels are taken where they are
};

struct DataSetOptions {
  std::vector<std::string> sequences;  ///< which to take, e.g. {"00", "08"}; empty: all
  NeedLabels labels = NeedLabels::no;
};

/// One kind of data set.
struct DataSet {
  std::string_view name;
  std::string_view doc;                                                        ///< one line for users
  int (*recognises)(const std::string& path);                                  ///< how sure: 0 no, 1 it may be, 2 it is
  ScanSource (*open)(const std::string& path, const DataSetOptions& options);  ///< throws IoError, InputError
};

/// All sets, in alphabetical order; "auto" takes the one that is surest.
std::span<const DataSet> data_sets();

/// Lists a data set. `set` is a name or "auto".
/// @throws UsageError (unknown name, nothing recognises the path), IoError, InputError (no scans, missing labels)
ScanSource open_data_set(const std::string& path, const std::string& set = "auto", const DataSetOptions& options = {});

/// "0-7,9,10" as {"00", ..., "07", "09", "10"}; names that are no numbers stand for themselves; empty text: empty list.
/// @throws UsageError for a range that is none
std::vector<std::string> parse_sequences(std::string_view text);

}  // namespace rarefy
