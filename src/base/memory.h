#pragma once
/// How much memory the system can still give.
#include <cstdint>

namespace rarefy {

/// Bytes that this process can still get without making the system swap or end it: what Linux calls available, and what
/// is left of the limit of the control group. -1 where the system does not tell.
std::int64_t available_memory();

}  // namespace rarefy
