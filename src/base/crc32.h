#pragma once
/// CRC-32 as in zlib, PNG and Python's zlib.crc32 (polynomial 0xEDB88320).
#include <cstdint>
#include <span>

namespace rarefy {

/// Continues `crc` (0 to start) over the bytes.
std::uint32_t crc32(std::span<const std::uint8_t> bytes, std::uint32_t crc = 0);

}  // namespace rarefy
