#pragma once
/// LZF, the compression of PCD's binary_compressed. Source of the format: liblzf's documentation.
#include <optional>

#include "base/file.h"

namespace rarefy::formats {

/// Unpacks into `output`, which must be filled exactly.
/// A control byte below 32 copies that many + 1 bytes; else its upper three bits are a length (7: one more byte adds to
/// it), plus 2, and its lower five with the next byte a distance back, minus 1.
/// @return nothing when all went well, else the input position of what is damaged
std::optional<std::size_t> lzf_unpack(ByteView input, std::span<std::byte> output);

}  // namespace rarefy::formats
