#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "data/formats/format_list.h"
#include "data/formats/formats.h"

namespace rarefy {
namespace {

/// Length of the longest extension of `format` that ends `file` (case ignored), or 0.
std::size_t matched_extension(const ScanFormat& format, std::string_view file) {
  std::size_t longest = 0;
  std::string_view rest = format.extensions;
  while (!rest.empty()) {
    const std::string_view extension = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), extension.size() + 1));
    if (extension.size() > file.size() || extension.size() <= longest) continue;
    const std::string_view end = file.substr(file.size() - extension.size());
    const auto same = [](char a, char b) { return a == b || (b >= 'A' && b <= 'Z' && a == b - 'A' + 'a'); };
    if (std::equal(extension.begin(), extension.end(), end.begin(), same)) longest = extension.size();
  }
  return longest;
}

const ScanFormat* format_of_extension(std::string_view file) {
  const ScanFormat* best = nullptr;
  std::size_t longest = 0;
  for (const ScanFormat& format : scan_formats()) {
    const std::size_t length = matched_extension(format, file);
    if (length <= longest) continue;
    longest = length;
    best = &format;
  }
  return best;
}

std::string known_formats() {
  std::string text;
  for (const ScanFormat& format : scan_formats())
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", format.name, format.extensions);
  return text;
}

void check_sizes(const std::string& file, const Scan& scan) {
  const auto points = static_cast<std::size_t>(scan.size());
  RAREFY_CHECK(scan.xyz.size() == 3 * points && (scan.intensity.empty() || scan.intensity.size() == points) &&
                   (scan.labels.empty() || scan.labels.size() == points),
               InputError, "{}: not written: {} coordinates, {} intensities, {} labels do not belong to one scan", file,
               scan.xyz.size(), scan.intensity.size(), scan.labels.size());
}

}  // namespace

std::span<const ScanFormat> scan_formats() {
  static const ScanFormat all[] = {
#define RAREFY_FORMAT(stem) formats::stem(),
#include "format_list.inc"
#undef RAREFY_FORMAT
  };
  return all;
}

const ScanFormat& find_scan_format(const std::string& file, const std::string& format) {
  if (format == "auto") {
    const ScanFormat* found = format_of_extension(file);
    RAREFY_CHECK(found != nullptr, UsageError, "{}: its extension names no known format; say which one it is: {}", file,
                 known_formats());
    return *found;
  }
  for (const ScanFormat& known : scan_formats())
    if (known.name == format) return known;
  fail<UsageError>("unknown format '{}' for {}; known are: {}", format, file, known_formats());
}

bool has_scan_extension(const std::string& file) { return format_of_extension(file) != nullptr; }

Scan parse_scan(ByteView bytes, const std::string& file, const LoadOptions& options) {
  const ScanFormat& format = find_scan_format(file, options.format);
  return format.parse({file, bytes, options.strict});
}

Scan load_scan(const std::string& path, const LoadOptions& options) {
  find_scan_format(path, options.format);  // a wrong name is said before a large file is read
  const Bytes bytes = read_file(path);
  return parse_scan(bytes, path, options);
}

void save_scan(const std::string& path, const Scan& scan, const std::string& format) {
  const ScanFormat& chosen = find_scan_format(path, format);
  RAREFY_CHECK(chosen.write != nullptr, UsageError,
               "{}: format '{}' can be read but not written; use .ply, .npz or .bin", path, chosen.name);
  check_sizes(path, scan);
  const std::vector<Bytes> chunks = chosen.write(scan);
  const std::vector<ByteView> views(chunks.begin(), chunks.end());
  write_file_atomic(path, std::span<const ByteView>(views));
}

std::int64_t count_not_finite(const Scan& scan) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i + 2 < scan.xyz.size(); i += 3)
    if (!std::isfinite(scan.xyz[i]) || !std::isfinite(scan.xyz[i + 1]) || !std::isfinite(scan.xyz[i + 2])) ++count;
  return count;
}

std::vector<std::uint32_t> parse_labels(ByteView bytes, const std::string& file, std::int64_t points) {
  RAREFY_CHECK(bytes.size() % 4 == 0, InputError,
               "{}: {} bytes, expected a multiple of 4 (one uint32 per point); the file is cut off or no .label file",
               file, bytes.size());
  const auto found = static_cast<std::int64_t>(bytes.size() / 4);
  RAREFY_CHECK(
      points < 0 || found == points, InputError,
      "{}: {} labels, but the scan has {} points (expected {} bytes, found {}); is it the label file of another scan?",
      file, found, points, 4 * points, bytes.size());
  std::vector<std::uint32_t> labels(static_cast<std::size_t>(found));
  if (found > 0) std::memcpy(labels.data(), bytes.data(), bytes.size());
  return labels;
}

std::vector<std::uint32_t> load_labels(const std::string& path, std::int64_t points) {
  return parse_labels(read_file(path), path, points);
}

void save_labels(const std::string& path, std::span<const std::uint32_t> labels) {
  write_file_atomic(path, bytes_of(labels));
}

}  // namespace rarefy
