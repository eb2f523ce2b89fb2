#pragma once
/// Refusing what does not fit.
#include <cstdint>

namespace rarefy::runtime {

/// Checks that `bytes` more can be had by a context that holds `held`.
/// @param limit  most that the context may hold; 0 = whatever the system has
/// @throws MemoryError naming what is needed and what there is
void require_memory(std::int64_t bytes, std::int64_t held, std::int64_t limit);

}  // namespace rarefy::runtime
