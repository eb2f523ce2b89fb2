#include "fuzz/fuzz_scan.h"

/// Files without a header: KITTI and nuScenes scans, label files.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rarefy::fuzz::parse_as(data, size, "fuzz.bin", "kitti");
  rarefy::fuzz::parse_as(data, size, "fuzz.pcd.bin", "nuscenes");
  try {
    const auto labels = rarefy::parse_labels({reinterpret_cast<const std::byte*>(data), size}, "fuzz.label");
    rarefy::fuzz::require(labels.size() * 4 == size);
  } catch (const rarefy::InputError&) {
    rarefy::fuzz::require(size % 4 != 0);
  }
  return 0;
}
