#pragma once
/// What is done with rows of feature matrices on the device, beside convolutions. Queued on the stream.
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cuda/conv.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/sites.h"
#include "kernels/pool.h"
#include "sparse/box.h"

namespace rarefy::cuda {

/// Element type of a matrix on the device.
enum class Type : std::uint8_t { f32, f16, bf16, u8 };
constexpr std::int64_t size_of(Type t) { return t == Type::f32 ? 4 : t == Type::u8 ? 1 : 2; }

/// A row-major matrix on the device.
struct Matrix2d {
  void* data = nullptr;
  Type type = Type::f32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;  ///< elements from row to row

  Rows as_rows() const { return {data, rows, cols, stride}; }
};

/// y = x, converted (real types only). Rows and columns are those of x; y may be wider.
void convert_rows(const Matrix2d& x, Stream stream, const Matrix2d& y);
/// y(r, c) = (x(r, columns[c]) - offset[c]) * scale[c]; the columns of y beyond, up to its stride, become 0. At
/// most 16.
struct ColumnChoice {
  static constexpr int kMost = 16;
  int count = 0;
  std::array<int, kMost> column{};
  std::array<float, kMost> offset{};
  std::array<float, kMost> scale{};
};
void select_columns(const Matrix2d& x, const ColumnChoice& choice, Stream stream, const Matrix2d& y);
/// y = act(x * factor[c] + shift[c] + residual): batch norm at inference. residual.data may be null.
void affine_rows(const Matrix2d& x, const float* factor, const float* shift, const Matrix2d& residual,
                 Activation activation, float slope, Stream stream, const Matrix2d& y);
/// y(r) = number of the largest column of row r, the first of equal ones, NaN below everything: as the op argmax.
void argmax_rows(const Matrix2d& x, Stream stream, std::uint8_t* y);
/// Softmax of each row; sums in float32.
void softmax_rows(const Matrix2d& x, Stream stream, const Matrix2d& y);
/// y(r) = index[r] >= 0 ? x(index[r]) : fill; the types of x and y are equal.
void gather_rows(const std::int32_t* index, const Matrix2d& x, float fill, Stream stream, const Matrix2d& y);
/// y(r) = sum over corners of weight * x(row), missing rows (-1) left out; float32 sums. row, weight: [rows, corners]
void interpolate_rows(const std::int32_t* row, const float* weight, int corners, const Matrix2d& x, Stream stream,
                      const Matrix2d& y);
/// y(v) = reduction over p in order[begin[v] .. begin[v + 1]) of x(p), in that order; zeros when there is none.
void reduce_rows(const std::int32_t* begin, const std::int32_t* order, Reduction reduction, const Matrix2d& x,
                 Stream stream, const Matrix2d& y);
/// y = x where it is positive, slope[c] x elsewhere.
void prelu_rows(const Matrix2d& x, const float* slope, Stream stream, const Matrix2d& y);
/// As rarefy::layer_norm; statistics in double.
void layer_norm_rows(const Matrix2d& x, const float* gamma, const float* beta, double epsilon, Stream stream,
                     const Matrix2d& y);
/// As rarefy::pool_forward over the plain form of a map.
void pool_rows(const Matrix2d& x, const MapView& map, Pooling pooling, Stream stream, const Matrix2d& y);
/// As rarefy::to_dense and from_dense (sparse/box.h).
void to_dense(const Sites& sites, const Box& box, const Matrix2d& x, Stream stream, const Matrix2d& dense);
void from_dense(const Sites& sites, const Box& box, const Matrix2d& dense, Stream stream, const Matrix2d& x);
/// y = x rounded to whole multiples of `scale` within [low, high] of them: a quantize node on real numbers.
void round_rows(const Matrix2d& x, float scale, float low, float high, Stream stream, const Matrix2d& y);

}  // namespace rarefy::cuda
