/// A LiDAR scan in, one label per point out. Usage: segment MODEL.safetensors SCAN.bin
/// The scan is a KITTI .bin: float32 x, y, z, intensity per point.
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "rarefy/error.h"
#include "rarefy/session.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: segment MODEL.safetensors SCAN.bin\n");
    return 2;
  }
  try {
    std::ifstream file(argv[2], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    const void* data = bytes.data();
    const std::int64_t stride_bytes = 16;
    const auto count = static_cast<std::int64_t>(bytes.size()) / stride_bytes;

    auto model = rarefy::Model::load(argv[1]);       // immutable, shared between threads
    rarefy::Session session(model, {.threads = 2});  // one per calling thread
    rarefy::PointView scan{
        data, count, stride_bytes, {.x = 0, .y = 4, .z = 8, .intensity = 12}, {}};  // any layout, no copy
    auto labels = session.run({{"points", scan}})["labels"].as<std::uint8_t>();     // one per point

    std::array<std::int64_t, 256> counts{};
    for (const std::uint8_t label : labels) ++counts[label];
    std::printf("%lld points in %.0f ms\n", static_cast<long long>(count), session.statistics().total_ms);
    const auto& classes = model.pipeline()->classes;
    for (std::size_t c = 0; c < classes.size(); ++c)
      if (counts[c] > 0) std::printf("  %-14s %lld\n", classes[c].name.c_str(), static_cast<long long>(counts[c]));
  } catch (const rarefy::Error& error) {
    std::fprintf(stderr, "segment: %s\n", error.what());
    return 1;
  }
}
