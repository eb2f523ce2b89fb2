#pragma once
/// What one instruction set supplies to batch normalisation. Files that are compiled for an instruction set include
/// this header, loops.h and nothing else (see cmake/RarefyHelpers.cmake).
#include <cstddef>
#include <cstdint>

namespace rarefy::norm_cpu {

/// Some rows of a matrix.
struct Rows {
  const float* data = nullptr;  ///< null = there are none
  std::ptrdiff_t stride = 0;    ///< floats

  const float* row(std::int64_t r) const { return data + r * stride; }
  explicit operator bool() const { return data != nullptr; }
};
struct OutputRows {
  float* data = nullptr;
  std::ptrdiff_t stride = 0;

  float* row(std::int64_t r) const { return data + r * stride; }
  explicit operator bool() const { return data != nullptr; }
};

enum class Ending : std::int32_t { none, relu, leaky_relu };

/// sums [cols] += x - origin, sums [cols, 2 cols) += (x - origin)^2.
struct MomentsJob {
  Rows x;
  std::int64_t rows;
  std::int64_t cols;
  const float* origin;
  double* sums;
};

/// y = ending((x - mean) * scale + beta + added). y may be x or added.
struct ApplyJob {
  Rows x;
  Rows added;
  OutputRows y;
  std::int64_t rows;
  std::int64_t cols;
  const float* mean;
  const float* scale;
  const float* beta;
  Ending ending;
  float slope;
};

/// With h = g where output > 0 and 0 elsewhere (h = g without output): sums [cols] += h,
/// sums [cols, 2 cols) += h * (x - mean).
struct GradientSumsJob {
  Rows x;
  Rows g;
  Rows output;
  std::int64_t rows;
  std::int64_t cols;
  const float* mean;
  double* sums;
};

/// gx = a * h + (b * (x - mean) + d) with h as above; passed_on = h where it is wanted. Either may be g.
struct GradientJob {
  Rows x;
  Rows g;
  Rows output;
  OutputRows gx;
  OutputRows passed_on;
  std::int64_t rows;
  std::int64_t cols;
  const float* mean;
  const float* a;
  const float* b;
  const float* d;
};

struct NormKernels {
  void (*moments)(const MomentsJob&);
  void (*column_sums)(const MomentsJob&);  ///< the first half of moments, about zero
  void (*apply)(const ApplyJob&);
  void (*gradient_sums)(const GradientSumsJob&);
  void (*gradient)(const GradientJob&);
};

}  // namespace rarefy::norm_cpu
