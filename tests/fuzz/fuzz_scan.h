#pragma once
/// What every scan parser must hold for any bytes: an InputError, or a scan that is consistent.
#include <cmath>
#include <string>

#include "data/formats/formats.h"
#include "rarefy/error.h"

namespace rarefy::fuzz {

/// Stops the fuzzer when a law is broken.
inline void require(bool law) {
  if (!law) __builtin_trap();
}

inline void check_scan(const Scan& scan) {
  const auto points = static_cast<std::size_t>(scan.size());
  require(scan.xyz.size() == 3 * points);
  require(scan.intensity.empty() || scan.intensity.size() == points);
  require(scan.labels.empty() || scan.labels.size() == points);
  for (const float value : scan.intensity) require(std::isfinite(value) && value <= 1.0f);
}

/// Parses the input as a file of the given name, normally and in strict mode.
inline void parse_as(const std::uint8_t* data, std::size_t size, const std::string& file, const std::string& format) {
  const ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  bool accepted = false;
  try {
    check_scan(parse_scan(bytes, file, {.format = format}));
    accepted = true;
  } catch (const InputError& e) {
    require(std::string(e.what()).starts_with(file));
  }
  try {
    const Scan scan = parse_scan(bytes, file, {.format = format, .strict = true});
    check_scan(scan);
    require(accepted && count_not_finite(scan) == 0);
  } catch (const InputError&) {
  }
}

}  // namespace rarefy::fuzz
