/// NumPy archive: points [N, 3 or more], optionally intensity [N] and labels [N] (raw ids).
#include "base/check.h"
#include "data/formats/detail/scan_builder.h"
#include "data/formats/format_list.h"
#include "data/formats/npy_array.h"

namespace rarefy::formats {

Scan scan_of_array(const FormatInput& input, const NpyArray& array, std::string_view what);
NpyArray array_of_scan(const Scan& scan);

namespace {

const std::pair<std::string, NpyArray>& find_points(const NpzFile& npz, const std::string& file) {
  const std::pair<std::string, NpyArray>* only = nullptr;
  int candidates = 0;
  std::string names;
  for (const auto& entry : npz.arrays()) {
    for (const char* known : {"points", "xyz", "pc", "scan"})
      if (entry.first == known) return entry;
    const auto& shape = entry.second.shape();
    names += fmt::format("{}{} {}", names.empty() ? "" : ", ", entry.first, entry.second.describe());
    if (shape.size() != 2 || shape[1] < 3) continue;
    only = &entry;
    ++candidates;
  }
  RAREFY_CHECK(
      candidates == 1, InputError,
      "{}: which array holds the points? Expected one named points, xyz, pc or scan, or a single [N, 3 or more]; "
      "there are: {}",
      file, names.empty() ? "none" : names);
  return *only;
}

void check_length(const FormatInput& input, std::string_view name, const NpyArray& array, std::int64_t points) {
  RAREFY_CHECK(array.elements() == points, InputError,
               "{}: array '{}' is {}, expected one element for each of {} points", input.file, name, array.describe(),
               points);
}

Scan parse(const FormatInput& input) {
  const NpzFile npz = NpzFile::parse(input.bytes, input.file);
  const auto& [name, array] = find_points(npz, input.file);
  Scan scan = scan_of_array(input, array, fmt::format("array '{}'", name));
  if (const NpyArray* intensity = npz.find("intensity")) {
    check_length(input, "intensity", *intensity, scan.size());
    scan.intensity = intensity->to_floats();
    finish_scan(input, intensity->type() < NpyType::f16, scan);
  }
  if (const NpyArray* labels = npz.find("labels")) {
    check_length(input, "labels", *labels, scan.size());
    const std::vector<std::int64_t> values = labels->to_integers();
    scan.labels.resize(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      RAREFY_CHECK(values[i] >= 0 && values[i] <= 0xFFFFFFFFll, InputError,
                   "{}: array 'labels': element {} is {}, expected 0 to 4294967295", input.file, i, values[i]);
      scan.labels[i] = static_cast<std::uint32_t>(values[i]);
    }
  }
  return scan;
}

std::vector<Bytes> write(const Scan& scan) {
  NpzFile npz;
  npz.set("points", array_of_scan(scan));
  if (!scan.labels.empty()) npz.set("labels", NpyArray::of<std::uint32_t>({scan.size()}, scan.labels));
  return npz.serialize();
}

}  // namespace

ScanFormat npz() {
  return {.name = "npz",
          .extensions = ".npz",
          .doc = "NumPy archive: points [N, 3 or 4], labels [N] (optional, raw ids)",
          .parse = parse,
          .write = write};
}

}  // namespace rarefy::formats
