/// PCD 0.7 of the Point Cloud Library: ascii, binary and binary_compressed are read; binary is written.
/// Source: "The PCD (Point Cloud Data) file format", PCL documentation.
#include <algorithm>

#include "base/check.h"
#include "data/formats/detail/lzf.h"
#include "data/formats/detail/scan_builder.h"
#include "data/formats/detail/text.h"
#include "data/formats/format_list.h"

namespace rarefy::formats {
namespace {

enum class Encoding : std::uint8_t { ascii, binary, compressed };

struct Field {
  std::string name;
  std::uint64_t size = 0;
  char type = '?';
  std::uint64_t count = 1;
  Scalar scalar = Scalar::f32;
};

struct Header {
  std::vector<Field> fields;
  std::uint64_t points = 0;
  std::int64_t fields_line = 1;
  std::uint64_t record = 0;   ///< bytes of a point in a binary file
  std::uint64_t numbers = 0;  ///< numbers of a point in an ASCII file
  Encoding encoding = Encoding::ascii;
  std::size_t end = 0;
};

/// The entries of the header as they stand, keyed by their first word.
struct Entry {
  std::string key;
  std::vector<std::string> values;
  std::int64_t line = 0;
};

std::vector<Entry> read_entries(const FormatInput& input, std::size_t& end) {
  TextReader text(input.bytes, input.file);
  std::vector<Entry> entries;
  while (entries.empty() || entries.back().key != "DATA") {
    const std::int64_t line = text.line();
    std::vector<std::string> words =
        split_words(text.next_line("'DATA ascii', 'DATA binary' or 'DATA binary_compressed'"));
    if (words.empty() || words[0].starts_with('#')) continue;
    std::string key = words[0] == "COLUMNS" ? "FIELDS" : words[0];
    static constexpr std::string_view kKeys[] = {"VERSION", "FIELDS", "SIZE",   "TYPE", "COUNT",
                                                 "WIDTH",   "HEIGHT", "POINTS", "DATA", "VIEWPOINT"};
    RAREFY_CHECK(std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys), InputError,
                 "{}: line {}: expected an entry of a PCD header (VERSION, FIELDS, ..., DATA), found '{}'", input.file,
                 line, TextReader::printable(words[0]));
    for (const Entry& earlier : entries)
      RAREFY_CHECK(earlier.key != key, InputError, "{}: line {}: {} is given twice (first in line {})", input.file,
                   line, key, earlier.line);
    words.erase(words.begin());
    entries.push_back({std::move(key), std::move(words), line});
  }
  end = text.position();
  return entries;
}

const Entry* find(const std::vector<Entry>& entries, std::string_view key) {
  for (const Entry& entry : entries)
    if (entry.key == key) return &entry;
  return nullptr;
}

const Entry& need(const std::vector<Entry>& entries, std::string_view key, const FormatInput& input,
                  std::size_t values) {
  const Entry* entry = find(entries, key);
  RAREFY_CHECK(entry != nullptr, InputError, "{}: line 1: the PCD header has no {} entry", input.file, key);
  RAREFY_CHECK(entry->values.size() == values, InputError, "{}: line {}: {} has {} values, expected {}", input.file,
               entry->line, key, entry->values.size(), values);
  return *entry;
}

Scalar scalar_of(const Field& field, const FormatInput& input, std::int64_t line) {
  static constexpr struct {
    char type;
    std::uint64_t size;
    Scalar scalar;
  } kKinds[] = {{'I', 1, Scalar::i8},  {'U', 1, Scalar::u8},  {'I', 2, Scalar::i16}, {'U', 2, Scalar::u16},
                {'I', 4, Scalar::i32}, {'U', 4, Scalar::u32}, {'I', 8, Scalar::i64}, {'U', 8, Scalar::u64},
                {'F', 4, Scalar::f32}, {'F', 8, Scalar::f64}};
  for (const auto& kind : kKinds)
    if (kind.type == field.type && kind.size == field.size) return kind.scalar;
  fail<InputError>("{}: line {}: field '{}' has type {} of {} bytes; expected I or U of 1, 2, 4, 8 or F of 4, 8",
                   input.file, line, TextReader::printable(field.name),
                   TextReader::printable(std::string(1, field.type)), field.size);
}

void parse_fields(const std::vector<Entry>& entries, const FormatInput& input, Header& header) {
  const Entry* names = find(entries, "FIELDS");
  RAREFY_CHECK(names != nullptr, InputError, "{}: line 1: the PCD header has no FIELDS entry", input.file);
  header.fields_line = names->line;
  const std::size_t n = names->values.size();
  const Entry& sizes = need(entries, "SIZE", input, n);
  const Entry& types = need(entries, "TYPE", input, n);
  const Entry* counts = find(entries, "COUNT");
  if (counts != nullptr) need(entries, "COUNT", input, n);
  for (std::size_t i = 0; i < n; ++i) {
    Field field{.name = names->values[i],
                .size = parse_count(sizes.values[i], input.file, sizes.line, "SIZE"),
                .type = types.values[i].size() == 1 ? types.values[i][0] : '?'};
    if (counts != nullptr) field.count = parse_count(counts->values[i], input.file, counts->line, "COUNT");
    field.scalar = scalar_of(field, input, types.line);
    RAREFY_CHECK(field.count <= 1u << 20, InputError, "{}: line {}: field '{}' has {} numbers per point", input.file,
                 counts != nullptr ? counts->line : names->line, TextReader::printable(field.name), field.count);
    RAREFY_CHECK(role_of(field.name) == Role::none || field.count == 1, InputError,
                 "{}: line {}: field '{}' has {} numbers per point, expected 1", input.file, header.fields_line,
                 field.name, field.count);
    header.record += field.size * field.count;
    header.numbers += field.count;
    header.fields.push_back(std::move(field));
  }
}

Header parse_header(const FormatInput& input) {
  Header header;
  const std::vector<Entry> entries = read_entries(input, header.end);
  parse_fields(entries, input, header);
  const auto count = [&](std::string_view key) {
    const Entry& entry = need(entries, key, input, 1);
    return parse_count(entry.values[0], input.file, entry.line, key);
  };
  std::uint64_t area = 0;
  RAREFY_CHECK(multiply(count("WIDTH"), count("HEIGHT"), area), InputError,
               "{}: line {}: WIDTH times HEIGHT is far too large", input.file, need(entries, "WIDTH", input, 1).line);
  header.points = find(entries, "POINTS") != nullptr ? count("POINTS") : area;
  RAREFY_CHECK(header.points == area, InputError, "{}: line {}: POINTS is {}, but WIDTH times HEIGHT is {}", input.file,
               need(entries, "POINTS", input, 1).line, header.points, area);
  const Entry& data = need(entries, "DATA", input, 1);
  if (data.values[0] == "ascii")
    header.encoding = Encoding::ascii;
  else if (data.values[0] == "binary")
    header.encoding = Encoding::binary;
  else if (data.values[0] == "binary_compressed")
    header.encoding = Encoding::compressed;
  else
    fail<InputError>("{}: line {}: DATA is '{}', expected ascii, binary or binary_compressed", input.file, data.line,
                     TextReader::printable(data.values[0]));
  return header;
}

ScanBuilder make_builder(const FormatInput& input, const Header& header) {
  std::vector<std::string> names;
  for (const Field& field : header.fields) names.push_back(field.name);
  const std::string where = fmt::format("line {}", header.fields_line);
  ScanBuilder builder(input, names, header.points, where);
  for (std::size_t i = 0; i < names.size(); ++i) builder.note_type(builder.role(i), header.fields[i].scalar);
  return builder;
}

[[noreturn]] void fail_short(const FormatInput& input, const Header& header, std::uint64_t have) {
  fail<InputError>("{}: byte {}: {} points of {} bytes are announced, but {} bytes follow; the file is cut off",
                   input.file, header.end, header.points, header.record, have);
}

Scan parse_ascii(const FormatInput& input, const Header& header) {
  std::uint64_t least = 0;
  if (!multiply(header.points, 2 * header.numbers, least) || least > input.bytes.size() - header.end + 1)
    fail_short(input, header, input.bytes.size() - header.end);
  ScanBuilder builder = make_builder(input, header);
  TextReader text(input.bytes, input.file);
  while (text.position() < header.end) text.next_line("'DATA'");
  const auto where = [&] { return fmt::format("line {}", text.line()); };
  for (std::size_t point = 0; point < header.points; ++point)
    for (std::size_t f = 0; f < header.fields.size(); ++f)
      for (std::uint64_t k = 0; k < header.fields[f].count; ++k)
        builder.set(builder.role(f), point, text.next_number(header.fields[f].name), where);
  Scan scan = builder.finish();
  check_trailing(input, text.rest_begin(), scan);
  return scan;
}

/// Points in `bytes`; `stride` from one point to the next, columns either inside a record or one after the other.
void fill(const Header& header, ByteView bytes, std::size_t base, ScanBuilder& builder) {
  const auto points = static_cast<std::size_t>(header.points);
  const bool by_column = header.encoding == Encoding::compressed;
  std::size_t column = 0;
  for (std::size_t f = 0; f < header.fields.size(); ++f) {
    const Field& field = header.fields[f];
    const auto width = static_cast<std::size_t>(field.size * field.count);
    const std::size_t stride = by_column ? width : static_cast<std::size_t>(header.record);
    if (builder.role(f) != Role::none)
      for (std::size_t i = 0; i < points; ++i)
        builder.set(builder.role(f), i, load_number(bytes.data() + column + i * stride, field.scalar), [&] {
          return by_column ? fmt::format("point {}", i) : fmt::format("byte {}", base + column + i * stride);
        });
    column += by_column ? width * points : width;
  }
}

Scan parse_binary(const FormatInput& input, const Header& header) {
  const ByteView body = input.bytes.subspan(header.end);
  std::uint64_t size = 0;
  if (!multiply(header.points, header.record, size) || size > body.size()) fail_short(input, header, body.size());
  ScanBuilder builder = make_builder(input, header);
  fill(header, body, header.end, builder);
  Scan scan = builder.finish();
  check_trailing(input, header.end + static_cast<std::size_t>(size), scan);
  return scan;
}

Scan parse_compressed(const FormatInput& input, const Header& header) {
  const ByteView body = input.bytes.subspan(header.end);
  RAREFY_CHECK(body.size() >= 8, InputError,
               "{}: byte {}: expected two sizes of 4 bytes, found {} bytes; the file is cut off", input.file,
               header.end, body.size());
  const std::uint64_t packed = load<std::uint32_t>(body.data()), unpacked = load<std::uint32_t>(body.data() + 4);
  std::uint64_t size = 0;
  RAREFY_CHECK(multiply(header.points, header.record, size) && size == unpacked, InputError,
               "{}: byte {}: {} uncompressed bytes are announced, but {} points of {} bytes need another size",
               input.file, header.end + 4, unpacked, header.points, header.record);
  RAREFY_CHECK(packed <= body.size() - 8, InputError,
               "{}: byte {}: {} compressed bytes are announced, but {} follow; the file is cut off", input.file,
               header.end, packed, body.size() - 8);
  // Three bytes of LZF make 264 at most: who declares more must not make us allocate.
  RAREFY_CHECK(unpacked <= packed * 88 + 264, InputError, "{}: byte {}: {} bytes cannot come out of {} compressed ones",
               input.file, header.end, unpacked, packed);
  Bytes columns(static_cast<std::size_t>(unpacked));
  const auto damaged = lzf_unpack(body.subspan(8, static_cast<std::size_t>(packed)), columns);
  RAREFY_CHECK(!damaged, InputError, "{}: byte {}: the compressed data are damaged", input.file,
               header.end + 8 + damaged.value_or(0));
  ScanBuilder builder = make_builder(input, header);
  fill(header, columns, 0, builder);
  Scan scan = builder.finish();
  check_trailing(input, header.end + 8 + static_cast<std::size_t>(packed), scan);
  return scan;
}

Scan parse(const FormatInput& input) {
  const Header header = parse_header(input);
  if (header.encoding == Encoding::ascii) return parse_ascii(input, header);
  return header.encoding == Encoding::binary ? parse_binary(input, header) : parse_compressed(input, header);
}

std::vector<Bytes> write(const Scan& scan) {
  const bool intensity = !scan.intensity.empty(), labels = !scan.labels.empty();
  const auto repeat = [&](std::string_view base, std::string_view i, std::string_view l) {
    return fmt::format("{}{}{}\n", base, intensity ? i : "", labels ? l : "");
  };
  const std::string header =
      "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n" + repeat("FIELDS x y z", " intensity", " label") +
      repeat("SIZE 4 4 4", " 4", " 4") + repeat("TYPE F F F", " F", " U") + repeat("COUNT 1 1 1", " 1", " 1") +
      fmt::format("WIDTH {0}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {0}\nDATA binary\n", scan.size());
  const ByteView head = bytes_of(header);
  Bytes body;
  body.reserve(static_cast<std::size_t>(scan.size()) * 20);
  for (std::size_t i = 0; i < static_cast<std::size_t>(scan.size()); ++i) {
    for (std::size_t axis = 0; axis < 3; ++axis) append_value(body, scan.xyz[3 * i + axis]);
    if (intensity) append_value(body, scan.intensity[i]);
    if (labels) append_value(body, scan.labels[i]);
  }
  return {Bytes(head.begin(), head.end()), std::move(body)};
}

}  // namespace

ScanFormat pcd() {
  return {.name = "pcd",
          .extensions = ".pcd",
          .doc = "PCD 0.7, ascii, binary or binary_compressed: x, y, z, intensity, label",
          .parse = parse,
          .write = write};
}

}  // namespace rarefy::formats
