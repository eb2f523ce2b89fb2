#include "report/format.h"

#include <fmt/format.h>

#include <cmath>

namespace rarefy::report {
namespace {

/// Three significant digits, no exponent.
std::string digits3(double value) {
  const double magnitude = std::abs(value);
  if (magnitude >= 99.95) return fmt::format("{:.0f}", value);
  if (magnitude >= 9.995) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

std::string with_prefix(double value) {
  static constexpr const char* kPrefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  std::size_t prefix = 0;
  while (std::abs(value) >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  if (prefix == 0 && value == std::floor(value)) return fmt::format("{:.0f} ", value);
  return fmt::format("{} {}", digits3(value), kPrefixes[prefix]);
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string count(std::int64_t value) {
  std::string text = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string prefixed(double value) {
  std::string text = with_prefix(value);
  if (text.back() == ' ') text.pop_back();
  return text;
}

std::string duration(double milliseconds) {
  if (milliseconds < 999.5) return digits3(milliseconds) + " ms";
  return digits3(milliseconds / 1000) + " s";
}

std::string bytes(double value) { return with_prefix(value) + "B"; }

std::string percent(double share) {
  const double hundred = share * 100;
  if (hundred == 0 || hundred >= 0.995) return fmt::format("{:.{}f} %", hundred, hundred >= 99.95 ? 0 : 1);
  return fmt::format("{:.{}f} %", hundred, std::min(12, static_cast<int>(1 - std::floor(std::log10(hundred)))));
}

}  // namespace rarefy::report
