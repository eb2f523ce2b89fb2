#pragma once
/// Views of row-major matrices. A view owns nothing; whoever made it says how long the memory lives.
#include <cstdint>
#include <span>
#include <string_view>

#include "rarefy/export.h"

namespace rarefy {

/// Element types. f16 is for storage: what is computed with it is f32. bf16 exists so that files can name it.
enum class Dtype : std::uint8_t { f32, f64, f16, bf16, i8, u8, i32, i64 };

/// Where the memory lives. Only `cpu` is served today.
enum class Device : std::uint8_t { cpu, cuda };

/// Bytes of one element.
constexpr std::int64_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
    case Dtype::i64:
      return 8;
    case Dtype::f32:
    case Dtype::i32:
      return 4;
    case Dtype::f16:
    case Dtype::bf16:
      return 2;
    case Dtype::i8:
    case Dtype::u8:
      return 1;
  }
  return 0;
}

/// Name as in a safetensors file, lower case: "f32", "i64", ...
RAREFY_API std::string_view name(Dtype dtype);

/// A 16-bit floating point number (IEEE 754 binary16) as it is stored.
struct Half {
  std::uint16_t bits = 0;
  bool operator==(const Half&) const = default;  ///< of the bits
};

template <class T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::f32;
};
template <>
struct DtypeOf<double> {
  static constexpr Dtype value = Dtype::f64;
};
template <>
struct DtypeOf<Half> {
  static constexpr Dtype value = Dtype::f16;
};
template <>
struct DtypeOf<std::int8_t> {
  static constexpr Dtype value = Dtype::i8;
};
template <>
struct DtypeOf<std::uint8_t> {
  static constexpr Dtype value = Dtype::u8;
};
template <>
struct DtypeOf<std::int32_t> {
  static constexpr Dtype value = Dtype::i32;
};
template <>
struct DtypeOf<std::int64_t> {
  static constexpr Dtype value = Dtype::i64;
};

/// Typed view of a row-major matrix [rows, cols]; row r starts at `data + r * row_stride` (in elements).
/// Rows may have any stride >= cols and any alignment of their element type.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;

  Matrix() = default;
  Matrix(T* data_, std::int64_t rows_, std::int64_t cols_) : Matrix(data_, rows_, cols_, cols_) {}
  Matrix(T* data_, std::int64_t rows_, std::int64_t cols_, std::int64_t row_stride_)
      : data(data_), rows(rows_), cols(cols_), row_stride(row_stride_) {}
  /// A mutable view reads as a constant one.
  operator Matrix<const T>() const { return {data, rows, cols, row_stride}; }  // NOLINT

  T* row(std::int64_t r) const { return data + r * row_stride; }
  T& operator()(std::int64_t r, std::int64_t c) const { return data[r * row_stride + c]; }
  bool empty() const { return rows == 0 || cols == 0; }
  /// Columns [first, first + count) of all rows, in place.
  Matrix columns(std::int64_t first, std::int64_t count) const {
    return {data == nullptr ? nullptr : data + first, rows, count, row_stride};
  }
};

/// Untyped view of a row-major matrix; `row_stride` counts elements. A vector is a matrix of one column.
struct RAREFY_API TensorView {
  void* data = nullptr;
  Dtype dtype = Dtype::f32;
  Device device = Device::cpu;
  std::int64_t rows = 0;
  std::int64_t cols = 1;
  std::int64_t row_stride = 1;

  /// The typed matrix. @throws UsageError when T is not the stored type.
  template <class T>
  Matrix<T> matrix() const {
    require(DtypeOf<std::remove_const_t<T>>::value);
    return {static_cast<T*>(data), rows, cols, row_stride};
  }
  /// All elements in order. @throws UsageError when T is not the stored type or rows are not contiguous.
  template <class T>
  std::span<T> as() const {
    require(DtypeOf<std::remove_const_t<T>>::value);
    require_contiguous();
    return {static_cast<T*>(data), static_cast<std::size_t>(rows * cols)};
  }

 private:
  void require(Dtype wanted) const;
  void require_contiguous() const;
};

}  // namespace rarefy
