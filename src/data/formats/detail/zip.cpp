#include "data/formats/detail/zip.h"

#include <zlib.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "base/check.h"
#include "data/formats/detail/scalar.h"
#include "data/formats/detail/scan_builder.h"

namespace rarefy::formats {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kEnd64Locator = 0x07064b50;
constexpr std::size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;

/// Bytes of a file with checked access.
struct Reader {
  ByteView bytes;
  const std::string& file;

  const std::byte* at(std::uint64_t offset, std::uint64_t length, std::string_view what) const {
    if (offset > bytes.size() || length > bytes.size() - offset)
      fail<InputError>("{}: byte {}: {} needs {} bytes, but the file has {} in all; it is cut off or damaged", file,
                       offset, what, length, bytes.size());
    return bytes.data() + offset;
  }
};

struct Directory {
  std::uint64_t offset = 0, size = 0, members = 0;
};

Directory find_directory(const Reader& in) {
  const std::size_t total = in.bytes.size();
  RAREFY_CHECK(total >= kEndSize, InputError, "{}: {} bytes, too short for an .npz (ZIP) file", in.file, total);
  // The end record may be followed by a comment of up to 65535 bytes.
  const std::size_t first = total - std::min<std::size_t>(total, kEndSize + 0xFFFF);
  for (std::size_t at = total - kEndSize + 1; at-- > first;) {
    const std::byte* end = in.bytes.data() + at;
    if (load<std::uint32_t>(end) != kEnd || load<std::uint16_t>(end + 20) != total - at - kEndSize) continue;
    Directory found{load<std::uint32_t>(end + 16), load<std::uint32_t>(end + 12), load<std::uint16_t>(end + 10)};
    if (found.offset != kIn64 && found.size != kIn64 && found.members != 0xFFFF) return found;
    if (at < kLocatorSize || load<std::uint32_t>(end - kLocatorSize) != kEnd64Locator) return found;
    const auto where = load<std::uint64_t>(end - kLocatorSize + 8);
    const std::byte* end64 = in.at(where, kEnd64Size, "the ZIP64 end record");
    RAREFY_CHECK(load<std::uint32_t>(end64) == kEnd64, InputError, "{}: byte {}: expected the ZIP64 end record",
                 in.file, where);
    return {load<std::uint64_t>(end64 + 48), load<std::uint64_t>(end64 + 40), load<std::uint64_t>(end64 + 32)};
  }
  fail<InputError>("{}: no ZIP end record; the file is cut off or no .npz file", in.file);
}

/// Replaces the 32-bit fields that say "look in the ZIP64 extra field", in the order that the format prescribes.
void read_zip64_extra(const Reader& in, const std::byte* extra, std::size_t length, std::uint64_t position,
                      std::uint64_t* fields[3]) {
  while (length >= 4) {
    const std::size_t id = load<std::uint16_t>(extra), size = load<std::uint16_t>(extra + 2);
    if (size > length - 4) break;
    if (id == 1) {
      std::size_t used = 0;
      for (int i = 0; i < 3; ++i) {
        if (*fields[i] != kIn64) continue;
        if (used + 8 > size) break;
        *fields[i] = load<std::uint64_t>(extra + 4 + used);
        used += 8;
      }
      return;
    }
    extra += 4 + size;
    length -= 4 + size;
  }
  for (int i = 0; i < 3; ++i)
    RAREFY_CHECK(*fields[i] != kIn64, InputError, "{}: byte {}: a ZIP64 size is announced but missing", in.file,
                 position);
}

ZipMember read_member(const Reader& in, std::uint64_t position, std::uint64_t& next) {
  const std::byte* entry = in.at(position, kCentralSize, "an entry of the ZIP directory");
  RAREFY_CHECK(load<std::uint32_t>(entry) == kCentral, InputError,
               "{}: byte {}: expected an entry of the ZIP directory", in.file, position);
  const std::size_t name_size = load<std::uint16_t>(entry + 28), extra_size = load<std::uint16_t>(entry + 30),
                    comment_size = load<std::uint16_t>(entry + 32);
  next = position + kCentralSize + name_size + extra_size + comment_size;
  const std::byte* name =
      in.at(position + kCentralSize, name_size + extra_size + comment_size, "a ZIP directory entry");
  ZipMember member;
  member.name.assign(reinterpret_cast<const char*>(name), name_size);
  member.method = load<std::uint16_t>(entry + 10);
  member.crc = load<std::uint32_t>(entry + 16);
  member.size = load<std::uint32_t>(entry + 24);
  std::uint64_t packed = load<std::uint32_t>(entry + 20), local = load<std::uint32_t>(entry + 42);
  std::uint64_t* fields[] = {&member.size, &packed, &local};
  read_zip64_extra(in, name + name_size, extra_size, position, fields);

  RAREFY_CHECK((load<std::uint16_t>(entry + 8) & 1) == 0, InputError, "{}: member '{}' is encrypted; save it without",
               in.file, member.name);
  RAREFY_CHECK(member.method == 0 || member.method == 8, InputError,
               "{}: member '{}' uses ZIP method {}, expected 0 (stored) or 8 (deflate); save it with numpy.savez",
               in.file, member.name, member.method);
  const std::byte* header = in.at(local, kLocalSize, "a ZIP member");
  RAREFY_CHECK(load<std::uint32_t>(header) == kLocal, InputError, "{}: byte {}: expected the ZIP header of member '{}'",
               in.file, local, member.name);
  const std::uint64_t begin = local + kLocalSize + load<std::uint16_t>(header + 26) + load<std::uint16_t>(header + 28);
  member.packed = {in.at(begin, packed, "a ZIP member"), static_cast<std::size_t>(packed)};
  // Deflate emits at most 258 bytes per 2 bits: whoever declares more lies, and must not make us allocate.
  const std::uint64_t reachable = member.method == 0 ? packed : packed * 1032 + 64;
  RAREFY_CHECK(member.size <= reachable && (member.method != 0 || member.size == packed), InputError,
               "{}: member '{}' declares {} bytes, which its {} packed bytes cannot hold", in.file, member.name,
               member.size, packed);
  return member;
}

std::uint32_t checksum(std::uint32_t crc, ByteView bytes) {
  if (bytes.empty()) return crc;  // zlib takes a null pointer as a request to start anew
  return static_cast<std::uint32_t>(::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// Drives inflate or deflate over buffers of any length (zlib counts in 32 bits).
struct Window {
  Bytef* next;
  std::size_t left;
  static Window over(ByteView bytes) {
    return {reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data())), bytes.size()};
  }
  uInt give(Bytef*& pointer) {
    const auto part = static_cast<uInt>(std::min<std::size_t>(left, 1u << 30));
    pointer = next;
    next += part;
    left -= part;
    return part;
  }
};

Bytes inflate_member(const ZipMember& member, const std::string& file) {
  Bytes content(static_cast<std::size_t>(member.size));
  z_stream stream{};
  if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  Window in = Window::over(member.packed), out = Window::over(content);
  int status = Z_OK;
  Bytef end_of_output = 0;  // zlib wants room to see the end of the stream
  while (status == Z_OK) {
    if (stream.avail_in == 0 && in.left > 0) stream.avail_in = in.give(stream.next_in);
    if (stream.avail_out == 0) {
      if (out.left > 0)
        stream.avail_out = out.give(stream.next_out);
      else if (stream.next_out == &end_of_output + 1)
        break;
      else
        stream.next_out = &end_of_output, stream.avail_out = 1;
    }
    status = ::inflate(&stream, Z_NO_FLUSH);
  }
  const bool complete = status == Z_STREAM_END && stream.total_out == member.size;
  ::inflateEnd(&stream);
  RAREFY_CHECK(complete, InputError, "{}: member '{}': its compressed data are damaged (expected {} bytes, got {})",
               file, member.name, member.size, static_cast<std::uint64_t>(stream.total_out));
  return content;
}

Bytes deflate_parts(ByteView first, ByteView second) {
  z_stream stream{};
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  Bytes packed(::deflateBound(&stream, static_cast<uLong>(first.size() + second.size())));
  Window parts[] = {Window::over(first), Window::over(second)}, out = Window::over(packed);
  int part = 0, status = Z_OK;
  while (status != Z_STREAM_END) {
    while (stream.avail_in == 0 && part < 2) {
      stream.avail_in = parts[part].give(stream.next_in);
      if (parts[part].left == 0) ++part;
    }
    if (stream.avail_out == 0) stream.avail_out = out.give(stream.next_out);
    status = ::deflate(&stream, part == 2 ? Z_FINISH : Z_NO_FLUSH);
  }
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;
}

}  // namespace

std::vector<ZipMember> list_zip(ByteView bytes, const std::string& file) {
  const Reader in{bytes, file};
  const Directory directory = find_directory(in);
  in.at(directory.offset, directory.size, "the ZIP directory");
  RAREFY_CHECK(directory.members <= directory.size / kCentralSize, InputError,
               "{}: {} members are announced, but the ZIP directory has only {} bytes", file, directory.members,
               directory.size);
  std::vector<ZipMember> members;
  std::set<std::string_view> names;
  std::uint64_t position = directory.offset, packed = 0;
  members.reserve(static_cast<std::size_t>(directory.members));
  for (std::uint64_t i = 0; i < directory.members; ++i) {
    members.push_back(read_member(in, position, position));
    RAREFY_CHECK(names.insert(members.back().name).second, InputError, "{}: member '{}' occurs twice", file,
                 members.back().name);
    packed += members.back().packed.size();
    RAREFY_CHECK(packed <= bytes.size(), InputError, "{}: its members overlap (byte {}); the file is damaged", file,
                 position);
  }
  return members;
}

Bytes unpack(const ZipMember& member, const std::string& file) {
  Bytes content = member.method == 0 ? Bytes(member.packed.begin(), member.packed.end()) : inflate_member(member, file);
  const std::uint32_t found = checksum(0, content);
  RAREFY_CHECK(found == member.crc, InputError,
               "{}: member '{}': checksum {:08x}, expected {:08x}; the file is damaged", file, member.name, found,
               member.crc);
  return content;
}

std::vector<Bytes> make_zip(const std::vector<ZipSource>& sources, bool deflate) {
  std::vector<Bytes> chunks;
  Bytes directory;
  std::uint64_t offset = 0;
  for (const ZipSource& source : sources) {
    const std::uint64_t size = source.first.size() + source.second.size();
    const std::uint32_t crc = checksum(checksum(0, source.first), source.second);
    Bytes packed;
    if (deflate) {
      packed = deflate_parts(source.first, source.second);
    } else {
      packed.reserve(size);
      packed.insert(packed.end(), source.first.begin(), source.first.end());
      packed.insert(packed.end(), source.second.begin(), source.second.end());
    }
    RAREFY_CHECK(std::max<std::uint64_t>(size, offset + packed.size()) < 0xFFFF0000u && source.name.size() < 0xFFFF,
                 UnsupportedError, "npz member '{}': files above 4 GiB are not written; split the arrays", source.name);
    Bytes common;  // what the local header and the directory share
    append_value(common, std::uint16_t{20});
    append_value(common, std::uint16_t{0x800});  // names are UTF-8
    append_value(common, static_cast<std::uint16_t>(deflate ? 8 : 0));
    append_value(common, std::uint16_t{0});
    append_value(common, std::uint16_t{0x21});  // 1 January 1980
    append_value(common, crc);
    append_value(common, static_cast<std::uint32_t>(packed.size()));
    append_value(common, static_cast<std::uint32_t>(size));
    append_value(common, static_cast<std::uint16_t>(source.name.size()));
    append_value(common, std::uint16_t{0});
    const ByteView name = bytes_of(source.name);

    Bytes local;
    append_value(local, kLocal);
    local.insert(local.end(), common.begin(), common.end());
    local.insert(local.end(), name.begin(), name.end());
    append_value(directory, kCentral);
    append_value(directory, std::uint16_t{20});
    directory.insert(directory.end(), common.begin(), common.end());
    directory.insert(directory.end(), 10, std::byte{0});  // comment, disk, attributes
    append_value(directory, static_cast<std::uint32_t>(offset));
    directory.insert(directory.end(), name.begin(), name.end());
    offset += local.size() + packed.size();
    chunks.push_back(std::move(local));
    chunks.push_back(std::move(packed));
  }
  RAREFY_CHECK(sources.size() < 0xFFFF, UnsupportedError, "npz: {} arrays, at most 65534 fit", sources.size());
  const auto directory_size = static_cast<std::uint32_t>(directory.size());
  append_value(directory, kEnd);
  append_value(directory, std::uint32_t{0});
  append_value(directory, static_cast<std::uint16_t>(sources.size()));
  append_value(directory, static_cast<std::uint16_t>(sources.size()));
  append_value(directory, directory_size);
  append_value(directory, static_cast<std::uint32_t>(offset));
  append_value(directory, std::uint16_t{0});
  chunks.push_back(std::move(directory));
  return chunks;
}

}  // namespace rarefy::formats
