/// PLY, the polygon file format: ASCII and binary of both byte orders are read; binary little endian is written.
/// Source: G. Turk, "The PLY Polygon File Format", 1994.
#include <algorithm>

#include "base/check.h"
#include "data/formats/detail/scan_builder.h"
#include "data/formats/detail/text.h"
#include "data/formats/format_list.h"

namespace rarefy::formats {
namespace {

struct Property {
  std::string name;
  Scalar type = Scalar::f32;
  bool list = false;
  Scalar list_count = Scalar::u8;
};

struct Element {
  std::string name;
  std::uint64_t count = 0;
  std::int64_t line = 0;
  std::vector<Property> properties;
  bool has_list() const {
    return std::any_of(properties.begin(), properties.end(), [](const Property& p) { return p.list; });
  }
  /// Bytes of one record without lists.
  std::uint64_t record() const {
    std::uint64_t bytes = 0;
    for (const Property& p : properties) bytes += size_of(p.type);
    return bytes;
  }
};

enum class Encoding : std::uint8_t { ascii, little, big };

struct Header {
  Encoding encoding = Encoding::ascii;
  std::vector<Element> elements;
  std::size_t end = 0;
};

Scalar parse_type(const std::string& word, const std::string& file, std::int64_t line) {
  static constexpr std::pair<std::string_view, Scalar> kTypes[] = {
      {"char", Scalar::i8},   {"uchar", Scalar::u8},   {"short", Scalar::i16},   {"ushort", Scalar::u16},
      {"int", Scalar::i32},   {"uint", Scalar::u32},   {"float", Scalar::f32},   {"double", Scalar::f64},
      {"int8", Scalar::i8},   {"uint8", Scalar::u8},   {"int16", Scalar::i16},   {"uint16", Scalar::u16},
      {"int32", Scalar::i32}, {"uint32", Scalar::u32}, {"float32", Scalar::f32}, {"float64", Scalar::f64}};
  for (const auto& [name, type] : kTypes)
    if (name == word) return type;
  fail<InputError>(
      "{}: line {}: unknown property type '{}'; expected char, uchar, short, ushort, int, uint, float, double", file,
      line, TextReader::printable(word));
}

void parse_format(const std::vector<std::string>& words, const FormatInput& input, std::int64_t line, Header& header) {
  const std::string& name = words.size() == 3 ? words[1] : words[0];
  if (name == "ascii")
    header.encoding = Encoding::ascii;
  else if (name == "binary_little_endian")
    header.encoding = Encoding::little;
  else if (name == "binary_big_endian")
    header.encoding = Encoding::big;
  else
    fail<InputError>("{}: line {}: expected 'format ascii|binary_little_endian|binary_big_endian 1.0', found '{}'",
                     input.file, line, TextReader::printable(fmt::format("{}", fmt::join(words, " "))));
  RAREFY_CHECK(words[2] == "1.0", InputError, "{}: line {}: PLY version {}, expected 1.0", input.file, line,
               TextReader::printable(words[2]));
}

void parse_property(const std::vector<std::string>& words, const FormatInput& input, std::int64_t line,
                    Header& header) {
  RAREFY_CHECK(!header.elements.empty(), InputError, "{}: line {}: a property before any element", input.file, line);
  const bool list = words.size() == 5 && words[1] == "list";
  RAREFY_CHECK(list || words.size() == 3, InputError, "{}: line {}: expected 'property TYPE NAME', found {} words",
               input.file, line, words.size());
  Property property{words.back(), parse_type(words[words.size() - 2], input.file, line), list};
  if (list) property.list_count = parse_type(words[2], input.file, line);
  RAREFY_CHECK(!list || is_integer(property.list_count), InputError,
               "{}: line {}: a list is counted by integers, not {}", input.file, line, words[2]);
  header.elements.back().properties.push_back(std::move(property));
}

Header parse_header(const FormatInput& input) {
  TextReader text(input.bytes, input.file);
  const auto begin =
      std::string_view(reinterpret_cast<const char*>(input.bytes.data()), std::min<std::size_t>(4, input.bytes.size()));
  RAREFY_CHECK(begin.starts_with("ply\n") || begin.starts_with("ply\r"), InputError,
               "{}: line 1: expected 'ply', found '{}'; this is no PLY file", input.file, TextReader::printable(begin));
  text.next_line("'ply'");
  Header header;
  bool has_format = false;
  while (true) {
    const std::int64_t line = text.line();
    const std::vector<std::string> words = split_words(text.next_line("'end_header'"));
    if (words.empty() || words[0] == "comment" || words[0] == "obj_info") continue;
    if (words[0] == "end_header") break;
    if (words[0] == "format") {
      parse_format(words, input, line, header);
      has_format = true;
    } else if (words[0] == "element" && words.size() == 3) {
      header.elements.push_back(
          {words[1], parse_count(words[2], input.file, line, "the number of elements"), line, {}});
    } else if (words[0] == "property") {
      parse_property(words, input, line, header);
    } else {
      fail<InputError>("{}: line {}: expected format, element, property, comment or end_header, found '{}'", input.file,
                       line, TextReader::printable(fmt::format("{}", fmt::join(words, " "))));
    }
  }
  RAREFY_CHECK(has_format, InputError, "{}: line 2: no 'format' line in the header", input.file);
  header.end = text.position();
  return header;
}

[[noreturn]] void fail_short(const FormatInput& input, const Element& element, std::size_t offset) {
  fail<InputError>(
      "{}: byte {}: {} elements '{}' are announced in line {}, but only {} bytes follow; the file is cut off",
      input.file, offset, element.count, element.name, element.line, input.bytes.size() - offset);
}

/// Offset behind an element in a binary file.
std::size_t skip_binary(const FormatInput& input, const Element& element, bool swapped, std::size_t offset) {
  if (element.properties.empty()) return offset;
  std::uint64_t bytes = 0;
  if (!element.has_list()) {
    if (!multiply(element.count, element.record(), bytes) || bytes > input.bytes.size() - offset)
      fail_short(input, element, offset);
    return offset + static_cast<std::size_t>(bytes);
  }
  for (std::uint64_t i = 0; i < element.count; ++i)
    for (const Property& property : element.properties) {
      std::uint64_t numbers = 1;
      if (property.list) {
        const std::size_t width = size_of(property.list_count);
        if (width > input.bytes.size() - offset) fail_short(input, element, offset);
        std::byte number[8] = {};
        std::memcpy(number, input.bytes.data() + offset, width);
        if (swapped) swap_bytes(number, 1, width);
        const double value = load_number(number, property.list_count);
        RAREFY_CHECK(value >= 0.0, InputError, "{}: byte {}: a list of '{}' has {} entries", input.file, offset,
                     property.name, value);
        numbers = static_cast<std::uint64_t>(value);
        offset += width;
      }
      if (!multiply(numbers, size_of(property.type), bytes) || bytes > input.bytes.size() - offset)
        fail_short(input, element, offset);
      offset += static_cast<std::size_t>(bytes);
    }
  return offset;
}

void skip_ascii(const Element& element, TextReader& text) {
  if (element.properties.empty()) return;
  for (std::uint64_t i = 0; i < element.count; ++i)
    for (const Property& property : element.properties) {
      const double value = text.next_number(property.name);
      if (!property.list) continue;
      for (double k = 0.0; k < value; k += 1.0) text.next_number(property.name);
    }
}

/// A record of an ASCII file takes two bytes per number at least: more points than that must not make us allocate.
void check_ascii_size(const FormatInput& input, const Element& vertex, std::size_t offset) {
  std::uint64_t bytes = 0;
  if (!multiply(vertex.count, 2 * vertex.properties.size(), bytes) || bytes > input.bytes.size() - offset + 1)
    fail_short(input, vertex, offset);
}

ScanBuilder make_builder(const FormatInput& input, const Element& vertex) {
  std::vector<std::string> names;
  for (const Property& property : vertex.properties) names.push_back(property.name);
  const std::string where = fmt::format("line {}", vertex.line);
  ScanBuilder builder(input, names, vertex.count, where);
  for (std::size_t i = 0; i < names.size(); ++i) builder.note_type(builder.role(i), vertex.properties[i].type);
  return builder;
}

Scan parse_ascii(const FormatInput& input, const Header& header, std::size_t vertex_index) {
  TextReader text(input.bytes, input.file);
  while (text.position() < header.end) text.next_line("'end_header'");
  for (std::size_t i = 0; i < vertex_index; ++i) skip_ascii(header.elements[i], text);
  const Element& vertex = header.elements[vertex_index];
  check_ascii_size(input, vertex, text.position());
  ScanBuilder builder = make_builder(input, vertex);
  const auto where = [&] { return fmt::format("line {}", text.line()); };
  for (std::uint64_t i = 0; i < vertex.count; ++i)
    for (std::size_t p = 0; p < vertex.properties.size(); ++p)
      builder.set(builder.role(p), static_cast<std::size_t>(i), text.next_number(vertex.properties[p].name), where);
  Scan scan = builder.finish();
  if (vertex_index + 1 == header.elements.size()) check_trailing(input, text.rest_begin(), scan);
  return scan;
}

Scan parse_binary(const FormatInput& input, const Header& header, std::size_t vertex_index) {
  const bool swapped = header.encoding == Encoding::big;
  std::size_t offset = header.end;
  for (std::size_t i = 0; i < vertex_index; ++i) offset = skip_binary(input, header.elements[i], swapped, offset);
  const Element& vertex = header.elements[vertex_index];
  const std::size_t end = skip_binary(input, vertex, swapped, offset);
  ScanBuilder builder = make_builder(input, vertex);
  const auto points = static_cast<std::size_t>(vertex.count), record = static_cast<std::size_t>(vertex.record());
  std::size_t column = offset;
  for (std::size_t p = 0; p < vertex.properties.size(); column += size_of(vertex.properties[p].type), ++p) {
    const Role role = builder.role(p);
    if (role == Role::none) continue;
    const Scalar type = vertex.properties[p].type;
    for (std::size_t i = 0; i < points; ++i) {
      const std::size_t position = column + i * record;
      std::byte number[8];
      std::memcpy(number, input.bytes.data() + position, size_of(type));
      if (swapped) swap_bytes(number, 1, size_of(type));
      builder.set(role, i, load_number(number, type), [&] { return fmt::format("byte {}", position); });
    }
  }
  Scan scan = builder.finish();
  if (vertex_index + 1 == header.elements.size()) check_trailing(input, end, scan);
  return scan;
}

Scan parse(const FormatInput& input) {
  const Header header = parse_header(input);
  const auto vertex =
      std::find_if(header.elements.begin(), header.elements.end(), [](const Element& e) { return e.name == "vertex"; });
  RAREFY_CHECK(vertex != header.elements.end(), InputError, "{}: no 'element vertex' in the header; nothing to read",
               input.file);
  RAREFY_CHECK(!vertex->has_list(), InputError,
               "{}: line {}: element 'vertex' has a list property; expected plain numbers per point", input.file,
               vertex->line);
  const auto index = static_cast<std::size_t>(vertex - header.elements.begin());
  return header.encoding == Encoding::ascii ? parse_ascii(input, header, index) : parse_binary(input, header, index);
}

std::vector<Bytes> write_coloured(const Scan& scan, std::span<const Rgb> colours) {
  const auto points = static_cast<std::size_t>(scan.size());
  const bool intensity = !scan.intensity.empty(), labels = !scan.labels.empty(), coloured = !colours.empty() || labels;
  const bool instances =
      std::any_of(scan.labels.begin(), scan.labels.end(), [](std::uint32_t raw) { return instance_of(raw) != 0; });
  std::string header = fmt::format(
      "ply\nformat binary_little_endian 1.0\ncomment rarefy: metres; labels are SemanticKITTI ids\n"
      "element vertex {}\nproperty float x\nproperty float y\nproperty float z\n",
      points);
  // CloudCompare shows properties named scalar_*, and reads them as float.
  if (intensity) header += "property float scalar_intensity\n";
  if (labels) header += "property float scalar_label\n";
  if (instances) header += "property float scalar_instance\n";
  if (coloured) header += "property uchar red\nproperty uchar green\nproperty uchar blue\n";
  header += "end_header\n";
  const ByteView head = bytes_of(header);
  Bytes body;
  body.reserve(points * 27);
  for (std::size_t i = 0; i < points; ++i) {
    for (std::size_t axis = 0; axis < 3; ++axis) append_value(body, scan.xyz[3 * i + axis]);
    if (intensity) append_value(body, scan.intensity[i]);
    if (labels) append_value(body, static_cast<float>(class_of(scan.labels[i])));
    if (instances) append_value(body, static_cast<float>(instance_of(scan.labels[i])));
    if (!coloured) continue;
    const RawClass* known = colours.empty() ? find_raw_class(class_of(scan.labels[i])) : nullptr;
    append_value(body, !colours.empty() ? colours[i] : known != nullptr ? known->colour : Rgb{});
  }
  return {Bytes(head.begin(), head.end()), std::move(body)};
}

std::vector<Bytes> write(const Scan& scan) { return write_coloured(scan, {}); }

}  // namespace

ScanFormat ply() {
  return {.name = "ply",
          .extensions = ".ply",
          .doc = "PLY, ASCII or binary: x, y, z, scalar_intensity, scalar_label (raw ids), red, green, blue",
          .parse = parse,
          .write = write};
}

}  // namespace rarefy::formats

namespace rarefy {

void save_ply(const std::string& path, const Scan& scan, std::span<const Rgb> colours) {
  const auto points = static_cast<std::size_t>(scan.size());
  RAREFY_CHECK(
      scan.xyz.size() == 3 * points && (scan.intensity.empty() || scan.intensity.size() == points) &&
          (scan.labels.empty() || scan.labels.size() == points) && (colours.empty() || colours.size() == points),
      InputError, "{}: not written: {} coordinates, {} intensities, {} labels, {} colours do not belong to one scan",
      path, scan.xyz.size(), scan.intensity.size(), scan.labels.size(), colours.size());
  const std::vector<Bytes> chunks = formats::write_coloured(scan, colours);
  write_file_atomic(path, {ByteView(chunks[0]), ByteView(chunks[1])});
}

}  // namespace rarefy
