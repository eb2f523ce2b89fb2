#include "data/metrics/trivial_baseline.h"
#include "fuzz/fuzz_scan.h"

/// The JSON file of the trivial baseline.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto baseline = rarefy::TrivialBaseline::from_json(text, "fuzz.json");
    rarefy::fuzz::require(rarefy::TrivialBaseline::from_json(baseline.to_json(), "again.json") == baseline);
  } catch (const rarefy::InputError&) {
  }
  return 0;
}
