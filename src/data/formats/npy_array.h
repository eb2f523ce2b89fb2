#pragma once
/// NumPy's .npy and .npz files, read and written without Python.
/// Source: numpy.lib.format documentation (versions 1.0 to 3.0); APPNOTE 6.3 for the ZIP container.
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace rarefy {

/// Element types of an array. `boolean` is one byte, 0 or 1.
enum class NpyType : std::uint8_t { i8, u8, i16, u16, i32, u32, i64, u64, f16, f32, f64, boolean };

std::size_t size_of(NpyType type);
/// As NumPy writes it: "<f4", "|u1", ...
std::string_view descr(NpyType type);

template <class T>
struct NpyTypeOf;
template <>
struct NpyTypeOf<std::int8_t> {
  static constexpr NpyType value = NpyType::i8;
};
template <>
struct NpyTypeOf<std::uint8_t> {
  static constexpr NpyType value = NpyType::u8;
};
template <>
struct NpyTypeOf<std::int16_t> {
  static constexpr NpyType value = NpyType::i16;
};
template <>
struct NpyTypeOf<std::uint16_t> {
  static constexpr NpyType value = NpyType::u16;
};
template <>
struct NpyTypeOf<std::int32_t> {
  static constexpr NpyType value = NpyType::i32;
};
template <>
struct NpyTypeOf<std::uint32_t> {
  static constexpr NpyType value = NpyType::u32;
};
template <>
struct NpyTypeOf<std::int64_t> {
  static constexpr NpyType value = NpyType::i64;
};
template <>
struct NpyTypeOf<std::uint64_t> {
  static constexpr NpyType value = NpyType::u64;
};
template <>
struct NpyTypeOf<float> {
  static constexpr NpyType value = NpyType::f32;
};
template <>
struct NpyTypeOf<double> {
  static constexpr NpyType value = NpyType::f64;
};

/// One array: C order, little endian, whatever the file had.
class NpyArray {
 public:
  NpyArray() = default;
  /// @throws UsageError when `data` does not hold exactly the elements of `shape`
  NpyArray(NpyType type, std::vector<std::int64_t> shape, Bytes data);
  /// Copies. @throws UsageError as above
  template <class T>
  static NpyArray of(std::vector<std::int64_t> shape, std::span<const T> values) {
    const ByteView bytes = std::as_bytes(values);
    return NpyArray(NpyTypeOf<T>::value, std::move(shape), Bytes(bytes.begin(), bytes.end()));
  }

  NpyType type() const { return type_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::int64_t elements() const { return elements_; }
  const Bytes& data() const { return data_; }
  Bytes& data() { return data_; }
  /// "float32 [3, 4]", for messages.
  std::string describe() const;

  /// The elements as they are stored. @throws InputError naming both types when T is not the stored one
  template <class T>
  std::span<const T> as() const {
    require(NpyTypeOf<T>::value);
    return {reinterpret_cast<const T*>(data_.data()), static_cast<std::size_t>(elements_)};
  }
  /// The elements converted to float. @throws never for numbers; large doubles become infinite
  std::vector<float> to_floats() const;
  /// The elements converted to int64. @throws InputError when the array is not of integers or a value does not fit
  std::vector<std::int64_t> to_integers() const;

 private:
  void require(NpyType wanted) const;
  NpyType type_ = NpyType::f32;
  std::vector<std::int64_t> shape_{0};
  std::int64_t elements_ = 0;
  Bytes data_;
};

/// @throws InputError: file, byte, expected, found (damaged, structured, object or string arrays)
NpyArray parse_npy(ByteView bytes, const std::string& file);
NpyArray read_npy(const std::string& path);
/// The bytes that go before the data in an .npy file of version 1.0.
Bytes npy_header(const NpyArray& array);
/// @throws IoError
void write_npy(const std::string& path, const NpyArray& array);

enum class NpzCompression : std::uint8_t { none, deflate };

/// Named arrays of one .npz file, in the file's order.
class NpzFile {
 public:
  /// @throws InputError: damaged container, wrong checksum, duplicate names, absurd sizes, unknown compression
  static NpzFile parse(ByteView bytes, const std::string& file);
  /// @throws as parse, and IoError
  static NpzFile read(const std::string& path);

  /// Null when there is none.
  const NpyArray* find(std::string_view name) const;
  /// @throws InputError listing the names that there are
  const NpyArray& at(std::string_view name) const;
  /// Adds or replaces.
  void set(std::string name, NpyArray array);
  const std::vector<std::pair<std::string, NpyArray>>& arrays() const { return arrays_; }

  /// The file's bytes, the same for the same arrays.
  /// @throws UnsupportedError when it would exceed 4 GiB
  std::vector<Bytes> serialize(NpzCompression compression = NpzCompression::none) const;
  /// All or nothing. @throws IoError, UnsupportedError
  void write(const std::string& path, NpzCompression compression = NpzCompression::none) const;

 private:
  std::string file_ = "(in memory)";
  std::vector<std::pair<std::string, NpyArray>> arrays_;
};

}  // namespace rarefy
