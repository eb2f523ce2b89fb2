#include "fuzz/fuzz_scan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rarefy::fuzz::parse_as(data, size, "fuzz.pcd", "pcd");
  return 0;
}
