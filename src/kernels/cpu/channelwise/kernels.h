#pragma once
/// What one instruction set supplies to the ops that work channel by channel over pairs of rows: depthwise convolution
/// and pooling. Files that are compiled for an instruction set include this header, loops.h and nothing else (see
/// cmake/RarefyHelpers.cmake).
#include <cstddef>
#include <cstdint>

namespace rarefy::channelwise_cpu {

/// Some rows of a matrix.
struct Rows {
  const float* data = nullptr;
  std::ptrdiff_t stride = 0;  ///< floats

  const float* row(std::int64_t r) const { return data + r * stride; }
};
struct OutputRows {
  float* data = nullptr;
  std::ptrdiff_t stride = 0;

  float* row(std::int64_t r) const { return data + r * stride; }
};

/// Pairs of one kernel offset; output rows are distinct.
struct Pairs {
  const std::int32_t* in_row = nullptr;
  const std::int32_t* out_row = nullptr;
  std::int64_t count = 0;
};

/// y[out] += x[in] * weights for each pair.
struct MultiplyJob {
  Rows x;
  OutputRows y;
  Pairs pairs;
  const float* weights;  ///< [cols]
  std::int64_t cols;
};

/// sums += x[in] * g[out] for each pair.
struct ProductSumJob {
  Rows x;
  Rows g;
  Pairs pairs;
  float* sums;  ///< [cols]
  std::int64_t cols;
};

/// What a pooling does with the pairs of one offset. Output rows without a pair so far are written, not read.
struct PoolJob {
  Rows x;
  OutputRows y;
  Pairs pairs;
  std::int64_t cols;
  std::int64_t first_row;  ///< output row that seen[0] counts
  std::int32_t* seen;      ///< pairs of each output row so far; counted on
  const float* scale;      ///< sum: of each input row, or null
  std::int32_t* winner;  ///< max: [output rows, cols] offset of the largest, or null. max_gradient: [input rows, cols]
  std::int32_t offset;   ///< max, max_gradient: the number that stands for these pairs in `winner`
};

/// Rows that lie one after another, reduced to one row y [cols]. At least one row.
struct ColumnJob {
  Rows x;
  std::int64_t rows;
  std::int64_t cols;
  float* y;
  std::int32_t* winner;    ///< max: [cols] row of the largest, or null
  std::int32_t first_row;  ///< number of row 0 in `winner`
};

struct ChannelwiseKernels {
  void (*multiply)(const MultiplyJob&);
  void (*product_sum)(const ProductSumJob&);
  void (*sum)(const PoolJob&);  ///< y[out] += x[in], times scale[in]
  void (*max)(const PoolJob&);  ///< y[out] = max(y[out], x[in]); NaN wins and stays, the first of equal ones too
  void (*max_gradient)(const PoolJob&);  ///< y[out] += x[in] where winner[in] is `offset`
  void (*column_sum)(const ColumnJob&);
  void (*column_max)(const ColumnJob&);  ///< the first of equal ones; NaN wins, the first one
};

}  // namespace rarefy::channelwise_cpu
