#pragma once
/// Point cloud files. One .cpp per format in this folder; the build lists the folder, so a new format is a new file.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "data/labels.h"
#include "data/scan.h"

namespace rarefy {

struct LoadOptions {
  std::string format = "auto";  ///< a format's name, or "auto": decided by the file's extension
  bool strict = false;          ///< points, intensities that are not finite, and trailing bytes are errors
};

/// What is parsed: a file's content, and its name for messages.
struct FormatInput {
  const std::string& file;
  ByteView bytes;
  bool strict = false;
};

/// One file format of scans.
struct ScanFormat {
  std::string_view name;                          ///< as in `--format`
  std::string_view extensions;                    ///< separated by spaces, the longest match decides: ".pcd.bin"
  std::string_view doc;                           ///< one line for users
  Scan (*parse)(const FormatInput& input);        ///< throws InputError
  std::vector<Bytes> (*write)(const Scan& scan);  ///< chunks of the file; null: this format is only read
};

/// All formats, in alphabetical order of their names.
std::span<const ScanFormat> scan_formats();

/// The format of that name, or the one that the file's extension names when `format` is "auto".
/// @throws UsageError listing the known names and extensions
const ScanFormat& find_scan_format(const std::string& file, const std::string& format);

/// True when an extension of `file` belongs to a format.
bool has_scan_extension(const std::string& file);

/// Reads a scan. Intensity is brought to 0..1: integers and floats above 1 are taken as 0..255, above 255 as 0..65535,
/// with a notice in `Scan::notices` where floats were rescaled; an intensity that is not finite becomes 0.
/// Labels are read where the format has them (PLY and PCD: label, scalar_label; npz: labels).
/// @throws IoError, InputError (file, position, expected, found), UsageError (unknown format)
/// Thread-safe.
Scan load_scan(const std::string& path, const LoadOptions& options = {});

/// As load_scan, from memory. `file` serves messages and the choice of the format.
Scan parse_scan(ByteView bytes, const std::string& file, const LoadOptions& options = {});

/// Writes a scan, all or nothing. Format by name or extension.
/// @throws IoError, UsageError (unknown format, or one that is only read), InputError (sizes of xyz, intensity, labels)
void save_scan(const std::string& path, const Scan& scan, const std::string& format = "auto");

/// Points with a coordinate that is NaN or infinite.
std::int64_t count_not_finite(const Scan& scan);

/// SemanticKITTI .label file: uint32 per point, low 16 bits class, high 16 bits instance.
/// @param points  how many the scan has; -1 accepts any number
/// @throws IoError; InputError when the size is not 4 bytes per point
std::vector<std::uint32_t> load_labels(const std::string& path, std::int64_t points = -1);
std::vector<std::uint32_t> parse_labels(ByteView bytes, const std::string& file, std::int64_t points = -1);
/// @throws IoError
void save_labels(const std::string& path, std::span<const std::uint32_t> labels);

/// Binary PLY with x y z, scalar_intensity (if any), scalar_label and scalar_instance (if any), red green blue:
/// the fields that CloudCompare and MeshLab show. Labels above 24 bits lose nothing: class and instance stand apart.
/// @param colours  [N] one per point, or empty: then those of the SemanticKITTI classes where there are labels
/// @throws IoError, InputError
void save_ply(const std::string& path, const Scan& scan, std::span<const Rgb> colours = {});

}  // namespace rarefy
