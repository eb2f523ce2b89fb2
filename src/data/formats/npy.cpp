/// One NumPy array [points, 3 or more]: x, y, z, and intensity if there is a fourth column.
#include "base/check.h"
#include "data/formats/detail/scan_builder.h"
#include "data/formats/format_list.h"
#include "data/formats/npy_array.h"

namespace rarefy::formats {

Scan scan_of_array(const FormatInput& input, const NpyArray& array, std::string_view what) {
  const auto& shape = array.shape();
  RAREFY_CHECK(shape.size() == 2 && shape[1] >= 3, InputError,
               "{}: {} is {}, expected [points, 3 or more]: x, y, z, intensity (optional)", input.file, what,
               array.describe());
  const std::size_t points = checked_points(input, static_cast<std::uint64_t>(shape[0]), what);
  const auto columns = static_cast<std::size_t>(shape[1]);
  const std::vector<float> values = array.to_floats();
  Scan scan;
  scan.xyz.resize(3 * points);
  if (columns > 3) scan.intensity.resize(points);
  for (std::size_t i = 0; i < points; ++i) {
    std::memcpy(&scan.xyz[3 * i], &values[i * columns], 3 * sizeof(float));
    if (columns > 3) scan.intensity[i] = values[i * columns + 3];
  }
  finish_scan(input, false, scan);
  return scan;
}

NpyArray array_of_scan(const Scan& scan) {
  const std::int64_t columns = scan.intensity.empty() ? 3 : 4;
  std::vector<float> values(static_cast<std::size_t>(scan.size() * columns));
  for (std::size_t i = 0; i < static_cast<std::size_t>(scan.size()); ++i) {
    float* row = &values[i * static_cast<std::size_t>(columns)];
    std::memcpy(row, &scan.xyz[3 * i], 3 * sizeof(float));
    if (columns == 4) row[3] = scan.intensity[i];
  }
  return NpyArray::of<float>({scan.size(), columns}, values);
}

namespace {

Scan parse(const FormatInput& input) { return scan_of_array(input, parse_npy(input.bytes, input.file), "the array"); }

std::vector<Bytes> write(const Scan& scan) {
  NpyArray array = array_of_scan(scan);
  return {npy_header(array), std::move(array.data())};
}

}  // namespace

ScanFormat npy() {
  return {.name = "npy",
          .extensions = ".npy",
          .doc = "NumPy array [points, 3 or 4]: x, y, z, intensity",
          .parse = parse,
          .write = write};
}

}  // namespace rarefy::formats
