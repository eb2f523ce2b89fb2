#include "fuzz/fuzz_scan.h"
#include "rarefy/tuning.h"

/// The JSON file of `rarefy tune`.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto tuning = rarefy::Tuning::parse(text, "fuzz.tuning");
    rarefy::fuzz::require(rarefy::Tuning::parse(tuning.to_json(), "again.tuning").to_json() == tuning.to_json());
  } catch (const rarefy::InputError&) {
  }
  return 0;
}
