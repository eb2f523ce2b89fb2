#include "data/formats/npy_array.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

#include "base/check.h"
#include "data/formats/detail/scalar.h"
#include "data/formats/detail/scan_builder.h"
#include "data/formats/detail/zip.h"

namespace rarefy {
namespace {

struct TypeRow {
  std::string_view descr, name;
  std::size_t size;
};
constexpr std::array<TypeRow, 12> kTypes{{{"|i1", "int8", 1},
                                          {"|u1", "uint8", 1},
                                          {"<i2", "int16", 2},
                                          {"<u2", "uint16", 2},
                                          {"<i4", "int32", 4},
                                          {"<u4", "uint32", 4},
                                          {"<i8", "int64", 8},
                                          {"<u8", "uint64", 8},
                                          {"<f2", "float16", 2},
                                          {"<f4", "float32", 4},
                                          {"<f8", "float64", 8},
                                          {"|b1", "bool", 1}}};

const TypeRow& row(NpyType type) { return kTypes[static_cast<std::size_t>(type)]; }

formats::Scalar scalar(NpyType type) {
  return type == NpyType::boolean ? formats::Scalar::u8 : static_cast<formats::Scalar>(type);
}
static_assert(static_cast<int>(NpyType::f64) == static_cast<int>(formats::Scalar::f64), "the two lists go together");

/// Elements of a shape, or nothing when they overflow or an axis is negative.
std::optional<std::int64_t> count(const std::vector<std::int64_t>& shape) {
  // Zero extents do not excuse others that overflow: every product of the rest must fit.
  std::int64_t product = 1, elements = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(product, std::max<std::int64_t>(extent, 1), &product)) return std::nullopt;
    elements = extent == 0 ? 0 : elements * extent;
  }
  if (product > std::numeric_limits<std::int64_t>::max() / 8) return std::nullopt;
  return elements;
}

/// The dictionary of a header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::size_t offset, const std::string& file)
      : text_(text), offset_(offset), file_(file) {}

  struct Header {
    std::string descr;
    bool fortran = false;
    std::vector<std::int64_t> shape;
  };

  Header parse() {
    Header header;
    bool seen[3] = {};
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      const int index = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (index < 0 || seen[index]) refuse("one each of 'descr', 'fortran_order', 'shape'", key);
      seen[index] = true;
      if (index == 0) header.descr = descr();
      if (index == 1) header.fortran = boolean();
      if (index == 2) header.shape = tuple();
      if (!accept(',') && peek() != '}') refuse("',' or '}'", rest());
    }
    for (int i = 0; i < 3; ++i)
      if (!seen[i]) refuse("'descr', 'fortran_order' and 'shape'", "a header without one of them");
    skip_space();
    if (at_ != text_.size()) refuse("the end of the header", rest());
    return header;
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
  }
  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse(fmt::format("'{}'", c), rest());
  }
  std::string rest() const { return std::string(text_.substr(at_, 20)); }
  [[noreturn]] void refuse(std::string_view expected, std::string_view found) const {
    fail<InputError>("{}: byte {}: NumPy header: expected {}, found '{}'", file_, offset_ + at_, expected,
                     printable(found));
  }
  static std::string printable(std::string_view text) {
    std::string clean(text);
    for (char& c : clean)
      if (c < ' ' || c > '~') c = '?';
    return clean;
  }

  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') refuse("a quoted name", rest());
    const std::size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) refuse("a closing quote", rest());
    const std::string value(text_.substr(at_, end - at_));
    at_ = end + 1;
    return value;
  }
  std::string descr() {
    if (peek() == '[')
      fail<InputError>(
          "{}: byte {}: a structured array; expected plain numbers: save it as one array [points, columns]", file_,
          offset_ + at_);
    return string();
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"})
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    refuse("True or False", rest());
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      if (error != std::errc() || value < 0) refuse("an extent", rest());
      at_ = static_cast<std::size_t>(end - text_.data());
      accept('L');  // Python 2 wrote long integers
      values.push_back(value);
      if (values.size() > 32) refuse("at most 32 axes", rest());
      if (!accept(',') && peek() != ')') refuse("',' or ')'", rest());
    }
    return values;
  }

  std::string_view text_;
  std::size_t offset_, at_ = 0;
  const std::string& file_;
};

/// Type of a descr, and whether its bytes must be swapped.
NpyType type_of(const std::string& descr, bool& swapped, const std::string& file) {
  const char order = descr.empty() ? '?' : descr[0];
  const std::string_view kind = std::string_view(descr).substr(std::min<std::size_t>(descr.size(), 1));
  swapped = order == '>';
  if (order == '<' || order == '>' || order == '=' || order == '|')
    for (std::size_t i = 0; i < kTypes.size(); ++i)
      if (kTypes[i].descr.substr(1) == kind) return static_cast<NpyType>(i);
  fail<InputError>(
      "{}: element type '{}'; expected integers, floats or booleans (objects, strings and complex numbers are not "
      "read)",
      file, descr);
}

/// Fortran order (first axis fastest) to C order.
Bytes to_c_order(ByteView from, const std::vector<std::int64_t>& shape, std::size_t width) {
  Bytes to(from.size());
  std::vector<std::int64_t> index(shape.size(), 0), stride(shape.size(), 1);
  for (std::size_t axis = 1; axis < shape.size(); ++axis) stride[axis] = stride[axis - 1] * shape[axis - 1];
  std::int64_t source = 0;
  for (std::size_t at = 0; at < to.size(); at += width) {
    std::memcpy(to.data() + at, from.data() + static_cast<std::size_t>(source) * width, width);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      source += stride[axis];
      if (++index[axis] < shape[axis]) break;
      source -= stride[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return to;
}

}  // namespace

std::size_t size_of(NpyType type) { return row(type).size; }
std::string_view descr(NpyType type) { return row(type).descr; }

NpyArray::NpyArray(NpyType type, std::vector<std::int64_t> shape, Bytes data)
    : type_(type), shape_(std::move(shape)), data_(std::move(data)) {
  const std::optional<std::int64_t> elements = count(shape_);
  RAREFY_CHECK(elements && static_cast<std::uint64_t>(*elements) * row(type).size == data_.size(), UsageError,
               "array {} [{}]: {} bytes of data do not fit the shape", row(type).name, fmt::join(shape_, ", "),
               data_.size());
  elements_ = *elements;
}

std::string NpyArray::describe() const { return fmt::format("{} [{}]", row(type_).name, fmt::join(shape_, ", ")); }

void NpyArray::require(NpyType wanted) const {
  RAREFY_CHECK(type_ == wanted, InputError, "array {}: expected element type {}", describe(), row(wanted).name);
}

std::vector<float> NpyArray::to_floats() const {
  std::vector<float> values(static_cast<std::size_t>(elements_));
  const formats::Scalar type = scalar(type_);
  const std::size_t width = row(type_).size;
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = formats::to_float(formats::load_number(data_.data() + i * width, type));
  return values;
}

std::vector<std::int64_t> NpyArray::to_integers() const {
  const formats::Scalar type = scalar(type_);
  RAREFY_CHECK(formats::is_integer(type), InputError, "array {}: expected integers", describe());
  std::vector<std::int64_t> values(static_cast<std::size_t>(elements_));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::byte* from = data_.data() + i * row(type_).size;
    if (type == formats::Scalar::i64 || type == formats::Scalar::u64) {
      values[i] = formats::load<std::int64_t>(from);
      RAREFY_CHECK(type == formats::Scalar::i64 || values[i] >= 0, InputError, "array {}: element {} is above 2^63 - 1",
                   describe(), i);
    } else {
      values[i] = static_cast<std::int64_t>(formats::load_number(from, type));
    }
  }
  return values;
}

NpyArray parse_npy(ByteView bytes, const std::string& file) {
  static constexpr char kMagic[] = "\x93NUMPY";
  RAREFY_CHECK(bytes.size() >= 10 && std::memcmp(bytes.data(), kMagic, 6) == 0, InputError,
               "{}: byte 0: expected the mark of a NumPy file (\\x93NUMPY), found {}", file,
               bytes.size() < 10 ? fmt::format("a file of {} bytes", bytes.size()) : "something else");
  const auto version = std::to_integer<int>(bytes[6]);
  RAREFY_CHECK(version >= 1 && version <= 3, InputError, "{}: byte 6: NumPy format version {}, expected 1 to 3", file,
               version);
  const std::size_t begin = version == 1 ? 10 : 12;
  RAREFY_CHECK(bytes.size() >= begin, InputError, "{}: byte 8: the file ends inside its header", file);
  const std::size_t length =
      version == 1 ? formats::load<std::uint16_t>(bytes.data() + 8) : formats::load<std::uint32_t>(bytes.data() + 8);
  RAREFY_CHECK(length <= bytes.size() - begin, InputError,
               "{}: byte 8: the header announces {} bytes, {} are left; the file is cut off or damaged", file, length,
               bytes.size() - begin);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + begin, length);
  const auto header = HeaderParser(text, begin, file).parse();
  bool swapped = false;
  const NpyType type = type_of(header.descr, swapped, file);
  const ByteView body = bytes.subspan(begin + length);
  const std::optional<std::int64_t> elements = count(header.shape);
  RAREFY_CHECK(elements && static_cast<std::uint64_t>(*elements) * row(type).size == body.size(), InputError,
               "{}: byte {}: {} [{}] needs {} bytes of data, found {}; the file is cut off or damaged", file,
               begin + length, row(type).name, fmt::join(header.shape, ", "),
               elements ? fmt::to_string(static_cast<std::uint64_t>(*elements) * row(type).size) : "far too many",
               body.size());
  Bytes data = header.fortran && header.shape.size() > 1 ? to_c_order(body, header.shape, row(type).size)
                                                         : Bytes(body.begin(), body.end());
  if (swapped) formats::swap_bytes(data.data(), data.size() / row(type).size, row(type).size);
  return NpyArray(type, header.shape, std::move(data));
}

NpyArray read_npy(const std::string& path) { return parse_npy(read_file(path), path); }

Bytes npy_header(const NpyArray& array) {
  std::string shape;
  for (const std::int64_t extent : array.shape()) shape += fmt::format("{}, ", extent);
  if (array.shape().size() > 1) shape.resize(shape.size() - 2);
  if (array.shape().size() == 1) shape.resize(shape.size() - 1);
  std::string text =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr(array.type()), shape);
  text.append(63 - (10 + text.size()) % 64, ' ');  // the data start at a multiple of 64
  text += '\n';
  Bytes bytes;
  for (const char c : std::string_view("\x93NUMPY\x01\x00", 8)) bytes.push_back(static_cast<std::byte>(c));
  formats::append_value(bytes, static_cast<std::uint16_t>(text.size()));
  const ByteView tail = bytes_of(text);
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

void write_npy(const std::string& path, const NpyArray& array) {
  const Bytes header = npy_header(array);
  write_file_atomic(path, {ByteView(header), ByteView(array.data())});
}

NpzFile NpzFile::parse(ByteView bytes, const std::string& file) {
  NpzFile npz;
  npz.file_ = file;
  for (const formats::ZipMember& member : formats::list_zip(bytes, file)) {
    std::string name = member.name;
    if (name.ends_with('/')) continue;
    RAREFY_CHECK(name.ends_with(".npy"), InputError, "{}: member '{}' is no .npy array; expected a file of numpy.savez",
                 file, name);
    name.resize(name.size() - 4);
    npz.arrays_.emplace_back(name, parse_npy(formats::unpack(member, file), fmt::format("{}:{}", file, name)));
  }
  return npz;
}

NpzFile NpzFile::read(const std::string& path) { return parse(read_file(path), path); }

const NpyArray* NpzFile::find(std::string_view name) const {
  for (const auto& [known, array] : arrays_)
    if (known == name) return &array;
  return nullptr;
}

const NpyArray& NpzFile::at(std::string_view name) const {
  if (const NpyArray* found = find(name)) return *found;
  std::string known;
  for (const auto& entry : arrays_) known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.first);
  fail<InputError>("{}: no array '{}'; there are: {}", file_, name, known.empty() ? "none" : known);
}

void NpzFile::set(std::string name, NpyArray array) {
  for (auto& [known, old] : arrays_)
    if (known == name) {
      old = std::move(array);
      return;
    }
  arrays_.emplace_back(std::move(name), std::move(array));
}

std::vector<Bytes> NpzFile::serialize(NpzCompression compression) const {
  std::vector<Bytes> headers;
  headers.reserve(arrays_.size());
  std::vector<formats::ZipSource> sources;
  for (const auto& [name, array] : arrays_) {
    headers.push_back(npy_header(array));
    sources.push_back({name + ".npy", headers.back(), array.data()});
  }
  return formats::make_zip(sources, compression == NpzCompression::deflate);
}

void NpzFile::write(const std::string& path, NpzCompression compression) const {
  const std::vector<Bytes> chunks = serialize(compression);
  const std::vector<ByteView> views(chunks.begin(), chunks.end());
  write_file_atomic(path, std::span<const ByteView>(views));
}

}  // namespace rarefy
