#include "common/scans.h"

#include "base/check.h"
#include "base/file.h"
#include "data/formats/formats.h"

namespace rarefy::cli {
namespace {

void append(std::vector<ScanEntry>& all, ScanSource source) {
  for (ScanEntry& entry : source.entries) all.push_back(std::move(entry));
}

void append_file(std::vector<ScanEntry>& all, const std::string& path, const std::string& format) {
  if (path_exists(path) && has_scan_extension(path)) return append(all, open_data_set(path, "files"));
  if (format == "auto" && path_exists(path)) find_scan_format(path, format);  // names the known extensions
  all.push_back(
      {.name = std::string(file_name(path)), .group = {}, .scan = path, .labels = {}, .kind = LabelFile::none});
}

}  // namespace

std::vector<ScanEntry> find_scans(const std::vector<std::string>& arguments, const std::string& format) {
  std::vector<ScanEntry> all;
  for (const std::string& argument : arguments) {
    const auto paths = path_exists(argument) ? std::vector<std::string>{argument} : expand_pattern(argument);
    RAREFY_CHECK(!paths.empty(), UsageError, "no file matches '{}'", argument);
    for (const std::string& path : paths) {
      if (is_directory(path)) {
        append(all, open_data_set(path));
      } else {
        append_file(all, path, format);
      }
    }
  }
  return all;
}

OutputPlace::OutputPlace(std::string given, bool many, std::string extension)
    : given_(std::move(given)), extension_(std::move(extension)) {
  if (given_.empty()) return;
  folder_ = many || given_.back() == '/' || is_directory(given_);
  if (folder_) make_directories(given_);
}

std::string OutputPlace::path_for(const ScanEntry& entry) {
  if (!folder_) return given_;
  std::string name = entry.name;
  const std::size_t dot = name.find('.', name.find_last_of('/') == std::string::npos ? 0 : name.find_last_of('/'));
  if (dot != std::string::npos && dot > 0) name.resize(dot);
  const std::string path = join_path(given_, name + extension_);
  RAREFY_CHECK(used_.insert(path).second, UsageError,
               "{}: two scans would be written there (the second is {}); give them different names", path, entry.scan);
  make_directories(path.substr(0, path.size() - file_name(path).size()));
  return path;
}

}  // namespace rarefy::cli
