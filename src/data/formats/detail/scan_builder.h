#pragma once
/// Turns named columns of a file (x, y, z, intensity, label, ...) into a Scan.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/detail/scalar.h"
#include "data/formats/formats.h"

namespace rarefy::formats {

/// What a column means.
enum class Role : std::uint8_t { x, y, z, intensity, label, instance, none };

/// Meaning of a field by its name, in any case, with or without CloudCompare's "scalar_".
Role role_of(std::string_view field);

/// Collects the columns of one file; the columns that are none are skipped by the caller.
class ScanBuilder {
 public:
  /// @param fields  names of the file's columns, in order
  /// @param where   position of the declaration, for messages: "line 3"
  /// @throws InputError when x, y or z is missing, a role occurs twice, or there are too many points
  ScanBuilder(const FormatInput& input, std::span<const std::string> fields, std::uint64_t points,
              std::string_view where);

  /// Role of column `field`.
  Role role(std::size_t field) const { return roles_[field]; }
  /// One number. `where` describes the position, called only when the value is refused.
  template <class Where>
  void set(Role role, std::size_t point, double value, Where&& where) {
    if (role <= Role::z) {
      scan_.xyz[3 * point + static_cast<std::size_t>(role)] = to_float(value);
    } else if (role == Role::intensity) {
      scan_.intensity[point] = to_float(value);
    } else if (role != Role::none && !set_label(role, point, value)) {
      refuse_label(role, value, where());
    }
  }
  /// Integers as intensity are scaled by their range, whatever values occur.
  void note_type(Role role, Scalar type) { integer_intensity_ |= role == Role::intensity && is_integer(type); }
  /// Brings intensity to 0..1 and checks what strict mode forbids.
  Scan finish();

 private:
  bool set_label(Role role, std::size_t point, double value);
  [[noreturn]] void refuse_label(Role role, double value, const std::string& where) const;

  const FormatInput& input_;
  std::vector<Role> roles_;
  Scan scan_;
  bool integer_intensity_ = false;
};

/// Brings intensity to 0..1 (see load_scan) and checks what strict mode forbids.
void finish_scan(const FormatInput& input, bool integer_intensity, Scan& scan);

/// Bytes after the last point: an error in strict mode, else a notice.
void check_trailing(const FormatInput& input, std::size_t used, Scan& scan);

/// The number of points as size_t. @throws InputError above 2^31 - 1, which row indices cannot count.
std::size_t checked_points(const FormatInput& input, std::uint64_t points, std::string_view where);

/// Appends the bytes of a value to a record.
template <class T>
void append_value(Bytes& bytes, const T& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof(T));
}

}  // namespace rarefy::formats
