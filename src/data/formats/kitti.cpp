/// KITTI and SemanticKITTI: float32 x, y, z, remission per point, nothing else.
#include "base/check.h"
#include "data/formats/detail/scan_builder.h"
#include "data/formats/format_list.h"

namespace rarefy::formats {
namespace {

constexpr std::size_t kRecord = 16;

Scan parse(const FormatInput& input) {
  const std::size_t bytes = input.bytes.size();
  RAREFY_CHECK(bytes % kRecord == 0, InputError,
               "{}: {} bytes, expected a multiple of 16 (float32 x, y, z, remission per point): {} bytes are left over "
               "after {} points; the file is cut off or has another format{}",
               input.file, bytes, bytes % kRecord, bytes / kRecord,
               bytes % 20 == 0 ? " (the size fits 'nuscenes', five columns)" : "");
  const std::size_t points = checked_points(input, bytes / kRecord, "file size");
  Scan scan;
  scan.xyz.resize(3 * points);
  scan.intensity.resize(points);
  for (std::size_t i = 0; i < points; ++i) {
    const std::byte* record = input.bytes.data() + i * kRecord;
    std::memcpy(&scan.xyz[3 * i], record, 12);
    std::memcpy(&scan.intensity[i], record + 12, 4);
  }
  finish_scan(input, false, scan);
  return scan;
}

std::vector<Bytes> write(const Scan& scan) {
  Bytes bytes(static_cast<std::size_t>(scan.size()) * kRecord);
  for (std::size_t i = 0; i < static_cast<std::size_t>(scan.size()); ++i) {
    const float intensity = scan.intensity.empty() ? 0.0f : scan.intensity[i];
    std::memcpy(bytes.data() + i * kRecord, &scan.xyz[3 * i], 12);
    std::memcpy(bytes.data() + i * kRecord + 12, &intensity, 4);
  }
  return {std::move(bytes)};
}

}  // namespace

ScanFormat kitti() {
  return {.name = "kitti",
          .extensions = ".bin",
          .doc = "KITTI, SemanticKITTI: float32 x, y, z, remission",
          .parse = parse,
          .write = write};
}

}  // namespace rarefy::formats
