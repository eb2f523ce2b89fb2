#pragma once
/// CRC-32 as in zlib, PNG and Python's zlib.crc32 (polynomial 0xEDB88320).
#include <cstdint>
#include <span>
#include <string_view>

namespace rarefy {

/// Continues `crc` (0 to start) over the bytes.
std::uint32_t crc32(std::span<const std::uint8_t> bytes, std::uint32_t crc = 0);
inline std::uint32_t crc32_of(std::string_view text) {
  return crc32({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace rarefy
