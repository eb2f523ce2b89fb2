#pragma once
/// Our side of the rows, through the library's own entrances.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "rarefy/executor.h"
#include "rarefy/model.h"
#include "rarefy/tensor.h"

namespace rarefy::peer {

/// Gradients of one submanifold convolution as training computes them: the op of train/ops, LibTorch's autograd, our
/// kernels.
class OurGradient {
 public:
  /// @param model  x -> "conv" -> y  @param rows  [N, 4]
  OurGradient(const Model& model, std::span<const std::int32_t> rows, Matrix<const float> x, Executor& executor);
  ~OurGradient();
  void forward();
  void backward(Matrix<const float> gy);
  std::vector<float> gradients() const;  ///< of the input, then of the weights

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rarefy::peer
