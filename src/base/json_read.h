#pragma once
/// Integers out of JSON that somebody else wrote. The JSON library converts any number silently (1e64 to an integer is
/// undefined behaviour); here a number that is no integer of the type is an InputError. For .cpp files that parse JSON.
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace rarefy {

/// @param where  stands for the file in messages; `what` names the field. @throws InputError
template <class T, class Json>
T read_integer(const Json& json, const std::string& where, std::string_view what) {
  constexpr auto kLow = static_cast<std::int64_t>(std::numeric_limits<T>::min());
  constexpr auto kHigh = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
  bool fits = json.is_number_integer();
  if (fits && json.is_number_unsigned()) {
    fits = json.template get<std::uint64_t>() <= kHigh;
  } else if (fits) {
    const auto value = json.template get<std::int64_t>();
    fits = value >= kLow && (value < 0 || static_cast<std::uint64_t>(value) <= kHigh);
  }
  RAREFY_CHECK(fits, InputError, "{}: {} must be an integer from {} to {}, found {}", where, what, kLow, kHigh,
               json.dump().substr(0, 40));
  return json.template get<T>();
}

/// A list of integers. @throws InputError
template <class T, class Json>
std::vector<T> read_integers(const Json& json, const std::string& where, std::string_view what) {
  RAREFY_CHECK(json.is_array(), InputError, "{}: {} must be a list of integers, found {}", where, what,
               json.dump().substr(0, 40));
  std::vector<T> values;
  values.reserve(json.size());
  for (const Json& item : json) values.push_back(read_integer<T>(item, where, what));
  return values;
}

}  // namespace rarefy
