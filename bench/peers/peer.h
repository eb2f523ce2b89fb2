#pragma once
/// The peer without LibTorch's types: a straightforward LibTorch implementation of what rarefy computes.
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "measure/crossover.h"
#include "rarefy/model.h"
#include "rarefy/tensor.h"

namespace rarefy::peer {

/// Threads of LibTorch's operators and of its BLAS, from now on.
void set_threads(int threads);
/// GFLOP/s of LibTorch's product of two 1024 x 1024 matrices in one thread, by its CPU time: a busy machine does not
/// make it a bad one.
double matrix_product_gflops();

/// One submanifold convolution of odd size on fixed sites.
class Layer {
 public:
  /// @param rows  [N, 4] batch, x, y, z, ascending  @param weight  [K, C_in, C_out]
  Layer(std::span<const std::int32_t> rows, std::int64_t stride, std::int64_t size, Matrix<const float> x,
        std::span<const float> weight, std::int64_t out_channels);
  ~Layer();
  void build_map();
  std::int64_t pairs() const;
  void forward();                         ///< without autograd
  void forward_for_gradient();            ///< with it
  void backward(Matrix<const float> gy);  ///< gradients of input and weights, after forward_for_gradient
  std::vector<float> output() const;      ///< [N, C_out]
  std::vector<float> gradients() const;   ///< of the input, then of the weights

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// LibTorch's dense conv3d over the box that holds the sites, padded with zeros.
class DenseLayer {
 public:
  DenseLayer(std::span<const std::int32_t> rows, std::int64_t stride, std::int64_t size, Matrix<const float> x,
             std::span<const float> weight, std::int64_t out_channels);
  ~DenseLayer();
  void forward();
  std::vector<float> output() const;  ///< at the sites: [N, C_out]

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// LibTorch's dense convolution, for measure_crossover.
std::unique_ptr<cli::bench::DenseConvolution> torch_dense();

/// A whole network for inference: batch norms folded, in place where nobody else reads, memory freed early.
class Network {
 public:
  /// @throws UnsupportedError naming an op that the peer does not have
  explicit Network(const Model& model);
  ~Network();
  void run(Matrix<const float> points);  ///< voxels, maps, features, labels
  void run_features();                   ///< with the voxels and maps of the last run
  std::vector<float> logits() const;
  std::vector<std::uint8_t> labels() const;  ///< per point

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One network while it learns: cross entropy, autograd, LibTorch's AdamW.
class Trainer {
 public:
  enum class Backward : std::uint8_t {
    autograd,     ///< of the operators, as anyone would begin
    handwritten,  ///< a derivative per convolution, as anyone would go on
  };
  Trainer(const Model& model, double rate, Backward backward);
  ~Trainer();
  /// Voxels, maps, forward, loss, backward, update. @param labels  per voxel; 255 = ignored
  void step(Matrix<const float> points, std::span<const std::uint8_t> labels);
  double loss() const;
  /// Of the last step, by parameter.
  std::map<std::string, std::vector<float>> gradients() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rarefy::peer
