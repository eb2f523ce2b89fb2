#pragma once
/// Figures as people read them, and text made safe for HTML.
#include <cstdint>
#include <string>
#include <string_view>

namespace rarefy::report {

/// Safe inside an element and inside a quoted attribute.
std::string escape(std::string_view text);
/// 1234567 -> "1,234,567".
std::string count(std::int64_t value);
/// Three significant digits with a prefix: 3.43e10 -> "34.3 G". Values below 1000 carry none.
std::string prefixed(double value);
/// "0.83 ms", "412 ms", "3.9 s".
std::string duration(double milliseconds);
/// "101 GB" (decimal units).
std::string bytes(double value);
/// 0.1234 -> "12.3 %"; shares below a thousandth keep two significant digits.
std::string percent(double share);

}  // namespace rarefy::report
