#pragma once
/// Scans named on the command line: files, folders, shell patterns.
#include <set>
#include <string>
#include <vector>

#include "data/sets/data_set.h"

namespace rarefy::cli {

/// Every scan that the arguments name, in order. Folders are data sets of any known layout or folders of scan files;
/// patterns are expanded here, too, for those who quote them. Files are not opened: one that is missing fails in turn.
/// @param format  as --format; a name other than "auto" accepts any extension
/// @throws UsageError (a pattern or folder without scans)
std::vector<ScanEntry> find_scans(const std::vector<std::string>& arguments, const std::string& format);

/// Where results go: the path itself for one scan, else NAME.extension in a folder.
class OutputPlace {
 public:
  /// @param given  what the option said; empty = nothing is written
  /// @param many   several scans: `given` is a folder, made when missing; for one scan only if it ends in '/' or is one
  /// @throws IoError
  OutputPlace(std::string given, bool many, std::string extension);
  bool wanted() const { return !given_.empty(); }
  /// Path for a scan; folders in its name ("00/000123") are made.
  /// @throws IoError; UsageError when another scan has got the same path
  std::string path_for(const ScanEntry& entry);

 private:
  std::string given_;
  std::string extension_;
  bool folder_ = false;
  std::set<std::string> used_;
};

}  // namespace rarefy::cli
