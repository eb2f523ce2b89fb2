/// nuScenes sweeps: float32 x, y, z, intensity 0..255, ring per point.
#include "base/check.h"
#include "data/formats/detail/scan_builder.h"
#include "data/formats/format_list.h"

namespace rarefy::formats {
namespace {

constexpr std::size_t kRecord = 20;

Scan parse(const FormatInput& input) {
  const std::size_t bytes = input.bytes.size();
  RAREFY_CHECK(
      bytes % kRecord == 0, InputError,
      "{}: {} bytes, expected a multiple of 20 (float32 x, y, z, intensity, ring per point): {} bytes are left "
      "over after {} points; the file is cut off or has another format{}",
      input.file, bytes, bytes % kRecord, bytes / kRecord,
      bytes % 16 == 0 ? " (the size fits 'kitti', four columns)" : "");
  const std::size_t points = checked_points(input, bytes / kRecord, "file size");
  Scan scan;
  scan.xyz.resize(3 * points);
  scan.intensity.resize(points);
  for (std::size_t i = 0; i < points; ++i) {
    const std::byte* record = input.bytes.data() + i * kRecord;
    std::memcpy(&scan.xyz[3 * i], record, 12);
    scan.intensity[i] = load<float>(record + 12) / 255.0f;
  }
  finish_scan(input, false, scan);
  return scan;
}

}  // namespace

ScanFormat nuscenes() {
  return {.name = "nuscenes",
          .extensions = ".pcd.bin",
          .doc = "nuScenes sweep: float32 x, y, z, intensity 0..255, ring",
          .parse = parse,
          .write = nullptr};
}

}  // namespace rarefy::formats
