#pragma once
/// What one instruction set supplies to attention over tokens and to the layers around it. Files that are compiled for
/// an instruction set include this header, loops.h and nothing else (see cmake/RarefyHelpers.cmake).
#include <cstddef>
#include <cstdint>

namespace rarefy::attention_cpu {

/// Rows that one tile of a product computes at a time.
inline constexpr std::int64_t kTileRows = 6;

/// c = a b, or c += a b.
struct ProductJob {
  const float* a = nullptr;  ///< [rows, depth], or its transpose: a_stride 1, a_step its row stride
  std::ptrdiff_t a_stride = 0;
  const float* b = nullptr;  ///< [depth, cols]
  std::ptrdiff_t b_stride = 0;
  float* c = nullptr;  ///< [rows, cols]
  std::ptrdiff_t c_stride = 0;
  std::int64_t rows = 0;  ///< any number; whole tiles are fastest
  std::int64_t depth = 0;
  std::int64_t cols = 0;  ///< a multiple of the lanes
  bool add = false;
  std::ptrdiff_t a_step = 1;
};

/// to = transpose of x times a factor; columns rows .. padded of `to` are zero.
struct TransposeJob {
  const float* x = nullptr;  ///< [rows, cols]
  std::ptrdiff_t x_stride = 0;
  std::int64_t rows = 0, cols = 0;  ///< any numbers
  float* to = nullptr;              ///< [cols, padded]
  std::ptrdiff_t to_stride = 0;
  std::int64_t padded = 0;
  float factor = 1.0f;
};

/// One block of keys of a softmax that runs over blocks: scores become exp(score + bias - largest so far), and what was
/// summed under a smaller largest is brought to the new one.
/// Source: Milakov, Gimelshein 2018 ("Online normalizer calculation for softmax"); Dao et al., NeurIPS 2022.
struct SoftmaxJob {
  float* scores = nullptr;  ///< [rows, cols]
  std::ptrdiff_t stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;        ///< a multiple of the lanes
  const float* bias = nullptr;  ///< [cols] of the keys, or [rows, cols]; minus infinity: the key takes no part
  float* largest = nullptr;     ///< [rows]
  float* sum = nullptr;         ///< [rows]
  float* y = nullptr;           ///< [rows, y_cols] sums of values so far, or null
  std::ptrdiff_t y_stride = 0;
  std::int64_t y_cols = 0;         ///< a multiple of the lanes
  std::ptrdiff_t bias_stride = 0;  ///< 0: one bias for all rows
};

/// What a softmax passes back: g = p * (g - sum of p * g) per row.
struct SoftmaxGradientJob {
  const float* p = nullptr;  ///< [rows, cols] probabilities
  float* g = nullptr;        ///< [rows, cols]
  std::ptrdiff_t stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;  ///< a multiple of the lanes
};

/// y[r, :] = x[r, :] * factors[r]. y may be x.
struct RowScaleJob {
  const float* x = nullptr;  ///< [rows, cols]
  std::ptrdiff_t x_stride = 0;
  float* y = nullptr;
  std::ptrdiff_t y_stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;  ///< any number
  const float* factors = nullptr;
};

/// sums [cols] += weight[r] * x[r, :] over the rows.
struct ColumnSumJob {
  const float* x = nullptr;
  std::ptrdiff_t stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;  ///< a multiple of the lanes
  const float* weight = nullptr;
  float* sums = nullptr;
};

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta per row. y may be x.
struct RowNormJob {
  const float* x = nullptr;  ///< [rows, cols]
  std::ptrdiff_t x_stride = 0;
  float* y = nullptr;
  std::ptrdiff_t y_stride = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;  ///< any number
  const float* gamma = nullptr;
  const float* beta = nullptr;
  double epsilon = 0.0;
};

struct AttentionKernels {
  std::int64_t lanes;
  void (*product)(const ProductJob&);
  void (*softmax)(const SoftmaxJob&);
  void (*column_sums)(const ColumnSumJob&);
  void (*layer_norm)(const RowNormJob&);
  void (*gelu)(const float* x, float* y, std::int64_t n);  ///< to 2e-7 times the larger of |x| and 1
  void (*transpose)(const TransposeJob&);
  void (*softmax_gradient)(const SoftmaxGradientJob&);
  void (*scale_rows)(const RowScaleJob&);
};

}  // namespace rarefy::attention_cpu
