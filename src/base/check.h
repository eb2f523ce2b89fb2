#pragma once
/// Raising errors with a formatted message. Callers' mistakes throw (RAREFY_CHECK); ours abort in debug builds
/// (RAREFY_ASSERT).
#include <fmt/format.h>

#include <cassert>
#include <utility>

#include "rarefy/error.h"

namespace rarefy {

/// Throws E with a formatted message: what was expected, what was found, where, what to do.
template <class E, class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace rarefy

#define RAREFY_CHECK(condition, ErrorType, ...) \
  do {                                          \
    if (!(condition)) [[unlikely]]              \
      ::rarefy::fail<ErrorType>(__VA_ARGS__);   \
  } while (false)

#define RAREFY_ASSERT(condition) assert(condition)
