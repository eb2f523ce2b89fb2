#include "data/formats/npy_array.h"
#include "fuzz/fuzz_scan.h"

namespace {

/// What was read is written and read again, and must be the same.
void check_round_trip(const rarefy::NpzFile& npz) {
  const std::vector<rarefy::Bytes> chunks = npz.serialize(rarefy::NpzCompression::deflate);
  rarefy::Bytes whole;
  for (const rarefy::Bytes& chunk : chunks) whole.insert(whole.end(), chunk.begin(), chunk.end());
  const rarefy::NpzFile again = rarefy::NpzFile::parse(whole, "again.npz");
  rarefy::fuzz::require(again.arrays().size() == npz.arrays().size());
  for (std::size_t i = 0; i < npz.arrays().size(); ++i) {
    const auto& [name, array] = npz.arrays()[i];
    const auto& [other_name, other] = again.arrays()[i];
    rarefy::fuzz::require(name == other_name && array.shape() == other.shape() && array.type() == other.type() &&
                          array.data() == other.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rarefy::fuzz::parse_as(data, size, "fuzz.npz", "npz");
  try {
    check_round_trip(rarefy::NpzFile::parse({reinterpret_cast<const std::byte*>(data), size}, "fuzz.npz"));
  } catch (const rarefy::InputError&) {
  }
  return 0;
}
