#pragma once
/// Numbers of any stored type, and columns of them inside a file's bytes.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

namespace rarefy::formats {

static_assert(std::endian::native == std::endian::little, "files are little endian, and so are the machines we serve");

enum class Scalar : std::uint8_t { i8, u8, i16, u16, i32, u32, i64, u64, f16, f32, f64 };

constexpr std::size_t size_of(Scalar type) {
  switch (type) {
    case Scalar::i8:
    case Scalar::u8:
      return 1;
    case Scalar::i16:
    case Scalar::u16:
    case Scalar::f16:
      return 2;
    case Scalar::i32:
    case Scalar::u32:
    case Scalar::f32:
      return 4;
    case Scalar::i64:
    case Scalar::u64:
    case Scalar::f64:
      return 8;
  }
  return 0;
}

constexpr bool is_integer(Scalar type) { return type < Scalar::f16; }

/// Reads a T from any alignment.
template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// IEEE 754 half precision to single; exact.
inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7FFFu;
  if (magnitude >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F800000u | ((magnitude & 0x3FFu) << 13));
  if (magnitude >= 0x400u) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  const float tiny = static_cast<float>(magnitude) * 0x1.0p-24f;  // subnormal: magnitude units of 2^-24
  return sign != 0 ? -tiny : tiny;
}

/// The stored number as double: exact but for 64-bit integers above 2^53.
inline double load_number(const std::byte* from, Scalar type) {
  switch (type) {
    case Scalar::i8:
      return load<std::int8_t>(from);
    case Scalar::u8:
      return load<std::uint8_t>(from);
    case Scalar::i16:
      return load<std::int16_t>(from);
    case Scalar::u16:
      return load<std::uint16_t>(from);
    case Scalar::i32:
      return load<std::int32_t>(from);
    case Scalar::u32:
      return load<std::uint32_t>(from);
    case Scalar::i64:
      return static_cast<double>(load<std::int64_t>(from));
    case Scalar::u64:
      return static_cast<double>(load<std::uint64_t>(from));
    case Scalar::f16:
      return half_to_float(load<std::uint16_t>(from));
    case Scalar::f32:
      return load<float>(from);
    case Scalar::f64:
      return load<double>(from);
  }
  return 0.0;
}

/// A double as float; too large becomes infinite (the cast alone would be undefined there).
inline float to_float(double value) {
  if (value > static_cast<double>(std::numeric_limits<float>::max())) return std::numeric_limits<float>::infinity();
  if (value < -static_cast<double>(std::numeric_limits<float>::max())) return -std::numeric_limits<float>::infinity();
  return static_cast<float>(value);
}

/// Reverses the bytes of each of `count` numbers of `width` bytes, in place.
inline void swap_bytes(std::byte* data, std::size_t count, std::size_t width) {
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t a = 0, b = width - 1; a < b; ++a, --b) {
      const std::byte kept = data[i * width + a];
      data[i * width + a] = data[i * width + b];
      data[i * width + b] = kept;
    }
}

/// a * b, or false when it does not fit.
inline bool multiply(std::uint64_t a, std::uint64_t b, std::uint64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

}  // namespace rarefy::formats
