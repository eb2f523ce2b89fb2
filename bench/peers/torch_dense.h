#pragma once
/// A dense convolution by whichever of LibTorch's ways is the fastest for it.
#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace rarefy::peer {

/// Stride 1, the same padding on both sides of each of one to three axes.
class DenseRunner {
 public:
  /// Tries memory formats, and oneDNN where LibTorch would not choose it by itself (for inputs that it thinks small).
  /// @param x  [1, C_in, ...]  @param weight  [C_out, C_in, ...]
  DenseRunner(const at::Tensor& x, const at::Tensor& weight, std::int64_t padding);
  /// [1, C_out, ...]
  at::Tensor run() const;

 private:
  at::Tensor x_, weight_;
  std::vector<std::int64_t> padding_;
  bool onednn_ = false;
};

}  // namespace rarefy::peer
