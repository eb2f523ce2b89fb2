#pragma once
/// The ZIP container, as far as .npz needs it: stored and deflated members, ZIP64 when reading.
#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"

namespace rarefy::formats {

struct ZipMember {
  std::string name;
  std::uint16_t method = 0;  ///< 0 stored, 8 deflated
  std::uint32_t crc = 0;
  std::uint64_t size = 0;  ///< uncompressed
  ByteView packed;         ///< inside the file's bytes
};

/// Lists the members by the central directory.
/// @throws InputError (file, byte, expected, found): cut off, encrypted, unknown method, a size that deflate cannot
///         reach, ranges outside the file, duplicate names
std::vector<ZipMember> list_zip(ByteView bytes, const std::string& file);

/// Unpacks one member and checks its size and checksum. @throws InputError
Bytes unpack(const ZipMember& member, const std::string& file);

/// A member to be written; its content is the concatenation of two parts (header and data, so that no copy is needed).
struct ZipSource {
  std::string name;
  ByteView first, second;
};

/// The chunks of a ZIP file. Time stamps are fixed, so that the same input gives the same bytes.
/// @throws UnsupportedError above 4 GiB
std::vector<Bytes> make_zip(const std::vector<ZipSource>& sources, bool deflate);

}  // namespace rarefy::formats
