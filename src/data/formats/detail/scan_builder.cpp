#include "data/formats/detail/scan_builder.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace rarefy::formats {
namespace {

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

constexpr std::string_view kRoleNames[] = {"x", "y", "z", "intensity", "label", "instance"};

}  // namespace

Role role_of(std::string_view field) {
  std::string name = lower_case(field);
  if (name.starts_with("scalar_")) name.erase(0, 7);
  if (name == "x") return Role::x;
  if (name == "y") return Role::y;
  if (name == "z") return Role::z;
  for (const char* known : {"intensity", "i", "remission", "reflectance", "reflectivity"})
    if (name == known) return Role::intensity;
  for (const char* known : {"label", "labels", "class", "classification"})
    if (name == known) return Role::label;
  return name == "instance" ? Role::instance : Role::none;
}

std::size_t checked_points(const FormatInput& input, std::uint64_t points, std::string_view where) {
  RAREFY_CHECK(points <= 0x7FFFFFFFull, InputError, "{}: {}: {} points, but a scan holds at most 2147483647; split it",
               input.file, where, points);
  return static_cast<std::size_t>(points);
}

ScanBuilder::ScanBuilder(const FormatInput& input, std::span<const std::string> fields, std::uint64_t points,
                         std::string_view where)
    : input_(input) {
  bool present[6] = {};
  for (const std::string& field : fields) {
    Role role = role_of(field);
    if (role != Role::none) {
      bool& seen = present[static_cast<std::size_t>(role)];
      RAREFY_CHECK(!seen || role > Role::z, InputError, "{}: {}: coordinate '{}' is declared twice", input.file, where,
                   field);
      if (seen) role = Role::none;  // e.g. intensity and reflectivity: the first one counts
      seen = true;
    }
    roles_.push_back(role);
  }
  for (std::size_t axis = 0; axis < 3; ++axis)
    RAREFY_CHECK(present[axis], InputError, "{}: {}: no field '{}' among: {}; a scan needs x, y and z", input.file,
                 where, kRoleNames[axis], fmt::join(fields, " "));
  const std::size_t count = checked_points(input, points, where);
  scan_.xyz.resize(3 * count);
  if (present[static_cast<std::size_t>(Role::intensity)]) scan_.intensity.resize(count);
  if (present[static_cast<std::size_t>(Role::label)] || present[static_cast<std::size_t>(Role::instance)])
    scan_.labels.resize(count);
}

bool ScanBuilder::set_label(Role role, std::size_t point, double value) {
  // A label alone may be the packed form, class and instance together; an instance is 16 bits.
  const double limit = role == Role::label ? 4294967295.0 : 65535.0;
  if (!(value >= 0.0 && value <= limit) || value != std::floor(value)) return false;
  const auto bits = static_cast<std::uint32_t>(value);
  scan_.labels[point] |= role == Role::label ? bits : bits << 16;
  return true;
}

void ScanBuilder::refuse_label(Role role, double value, const std::string& where) const {
  fail<InputError>("{}: {}: {} is {}, expected a whole number from 0 to {}", input_.file, where,
                   kRoleNames[static_cast<std::size_t>(role)], value, role == Role::label ? 4294967295u : 65535u);
}

Scan ScanBuilder::finish() {
  finish_scan(input_, integer_intensity_, scan_);
  return std::move(scan_);
}

void finish_scan(const FormatInput& input, bool integer_intensity, Scan& scan) {
  if (input.strict) {
    const auto bad = std::find_if(scan.xyz.begin(), scan.xyz.end(), [](float v) { return !std::isfinite(v); });
    if (bad != scan.xyz.end())
      fail<InputError>(
          "{}: point {} has a coordinate that is not finite ({}), {} of {} points are like it; "
          "strict mode wants finite points: leave strict mode or remove them",
          input.file, (bad - scan.xyz.begin()) / 3, *bad, count_not_finite(scan), scan.size());
  }
  std::int64_t not_finite = 0;
  float largest = 0.0f;
  for (float& value : scan.intensity) {
    if (!std::isfinite(value)) {
      ++not_finite;
      value = 0.0f;
    }
    largest = std::max(largest, value);
  }
  if (not_finite > 0) {
    RAREFY_CHECK(
        !input.strict, InputError,
        "{}: {} of {} intensities are not finite; strict mode wants finite ones: leave strict mode or fix them",
        input.file, not_finite, scan.size());
    scan.notices.push_back(fmt::format("{} of {} intensities are not finite; taken as 0", not_finite, scan.size()));
  }
  if (largest <= 1.0f && !integer_intensity) return;
  RAREFY_CHECK(largest <= 65535.0f, InputError, "{}: intensity reaches {}, expected 0..1, 0..255 or 0..65535",
               input.file, largest);
  const float full = largest <= 255.0f ? 255.0f : 65535.0f;
  for (float& value : scan.intensity) value /= full;
  if (!integer_intensity)
    scan.notices.push_back(fmt::format("intensity reaches {}; taken as 0..{} and scaled to 0..1", largest, full));
}

void check_trailing(const FormatInput& input, std::size_t used, Scan& scan) {
  const std::size_t left = input.bytes.size() - used;
  if (left == 0) return;
  RAREFY_CHECK(!input.strict, InputError,
               "{}: byte {}: {} bytes follow the last of {} points; expected the file to end (strict mode)", input.file,
               used, left, scan.size());
  scan.notices.push_back(fmt::format("{} bytes after the last point were ignored", left));
}

}  // namespace rarefy::formats
