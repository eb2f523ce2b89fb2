#pragma once
/// From which density on a dense convolution of the whole grid is faster than ours of the occupied cells.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "measure/patterns.h"
#include "rarefy/executor.h"

namespace rarefy::cli::bench {

/// A dense convolution with zeros around the grid, stride 1. Arrays outlive the problem.
struct DenseProblem {
  int dims = 3;
  std::int32_t extent = 32;    ///< cells along each axis
  int kernel = 3;              ///< odd: centred; even: from 0 up, as the block rule has it
  std::int64_t channels = 32;  ///< in and out
  int threads = 1;
  const float* x = nullptr;        ///< [cells, channels], last axis fastest
  const float* weights = nullptr;  ///< [kernel ^ dims, channels, channels]: offset, in, out
  std::int64_t cells() const;
  std::int64_t volume() const;
  double gflop() const;  ///< all cells, all offsets
};

/// Whoever computes it densely: LibTorch, oneDNN, or our kernels on a grid without holes.
class DenseConvolution {
 public:
  virtual ~DenseConvolution() = default;
  /// Brings inputs and weights into the layout that it likes best; not timed.
  virtual void prepare(const DenseProblem& problem) = 0;
  /// One convolution; timed.
  virtual void run() = 0;
  /// What `run` computed, [cells, channels].
  virtual std::vector<float> result() = 0;
  virtual std::string name() const = 0;
};
/// Our own kernels where every cell is occupied: their best case, and no map is built in the time.
std::unique_ptr<DenseConvolution> own_dense();

struct CrossoverOptions {
  std::vector<int> kernels{3};
  std::vector<std::int64_t> channels{16, 32, 64, 128};
  std::vector<int> threads{1};
  std::vector<Pattern> patterns{Pattern::surface, Pattern::uniform};
  std::vector<double> densities{0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0};  ///< ascending, in (0, 1]
  int dims = 3;
};

/// Sparse convolution at one density.
struct DensityTimes {
  double density = 0;
  std::int64_t voxels = 0;
  double neighbours = 0;  ///< occupied cells under the kernel, the centre included
  double map_ms = 0;
  double sparse_ms = 0;  ///< without the map
};
struct CrossoverRow {
  int dims = 3, kernel = 3, threads = 1;
  std::int64_t channels = 0;
  Pattern pattern = Pattern::surface;
  double dense_ms = 0;
  double dense_gflops = 0;
  std::vector<DensityTimes> times;
  /// Density above which dense is faster by more than 2 %, with the maps at hand, and with maps built anew; none = it
  /// never is.
  std::optional<double> cached, fresh;
};

/// Where `sparse` first exceeds `dense`, by interpolation over the logarithm of the density; the lowest density when it
/// does everywhere.
std::optional<double> crossing(const std::vector<double>& densities, const std::vector<double>& sparse, double dense);

/// Measures each combination and hands its row on as soon as it is there. Our result on the full grid is compared with
/// the dense one first. `dense` may be null: our own kernels. @throws Error when the two do not compute the same
void measure_crossover(const CrossoverOptions& options, DenseConvolution* dense,
                       const std::function<void(const CrossoverRow&)>& row);

}  // namespace rarefy::cli::bench
