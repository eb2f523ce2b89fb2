#include "measure/crossover.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/conv.h"
#include "measure/input.h"
#include "measure/timing.h"
#include "sparse/kernel_map.h"

namespace rarefy::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;

KernelShape shape_of(int dims, int kernel) { return {.dims = dims, .size = {kernel, kernel, kernel, kernel}}; }

/// About as many cells for every number of dimensions: 32768, 36864, 32768.
std::int32_t extent_of(int dims) { return dims == 1 ? 32768 : dims == 2 ? 192 : 32; }

/// Dense wins when it is faster by more than noise.
constexpr double kMargin = 1.02;

/// Median of runs for 0.15 s, 3 to 30.
template <class F>
double median_ms(const F& run) {
  std::vector<double> times;
  double spent = 0;
  while (times.size() < 3 || (spent < 150 && times.size() < 30)) {
    const auto start = Clock::now();
    run();
    times.push_back(ms_since(start));
    spent += times.back();
  }
  return median(times);
}

/// One sparse convolution on given sites.
class Sparse {
 public:
  Sparse(const DenseProblem& p, const Coords& sites, Executor& executor)
      : problem_(p), sites_(sites), executor_(executor) {
    build_map();
    const auto size = static_cast<std::size_t>(sites.rows() * p.channels);
    x_.assign(p.x, p.x + size);  // values do not matter here; on a full grid they are the dense ones
    y_.resize(size);
    pack_weights(select_conv_variant(), p.weights, p.volume(), p.channels, p.channels, WeightOrder::forward, packed_);
  }
  void build_map() { build_kernel_map(sites_, sites_, shape_of(problem_.dims, problem_.kernel), executor_, map_); }
  void run() {
    const std::int64_t rows = sites_.rows(), channels = problem_.channels;
    conv_forward({x_.data(), rows, channels}, packed_, &map_, {}, executor_, {y_.data(), rows, channels});
  }
  const KernelMap& map() const { return map_; }
  const std::vector<float>& result() const { return y_; }

 private:
  DenseProblem problem_;
  const Coords& sites_;
  Executor& executor_;
  KernelMap map_;
  PackedWeights packed_;
  std::vector<float> x_, y_;
};

class OwnDense : public DenseConvolution {
 public:
  void prepare(const DenseProblem& p) override {
    sparse_.reset();
    executor_ = make_thread_pool(p.threads);
    sites_ = occupied(p.dims, p.extent, 1.0, Pattern::uniform);
    sparse_ = std::make_unique<Sparse>(p, sites_, *executor_);
  }
  void run() override { sparse_->run(); }
  std::vector<float> result() override { return sparse_->result(); }
  std::string name() const override { return "our own kernels on the full grid, map at hand"; }

 private:
  std::unique_ptr<Executor> executor_;
  Coords sites_;
  std::unique_ptr<Sparse> sparse_;
};

DensityTimes measure_density(const DenseProblem& p, double density, Pattern pattern, Executor& executor) {
  const Coords sites = occupied(p.dims, p.extent, density, pattern);
  Sparse sparse(p, sites, executor);
  DensityTimes t;
  t.density = density;
  t.voxels = sites.rows();
  t.neighbours = static_cast<double>(sparse.map().pairs()) / static_cast<double>(sites.rows());
  sparse.run();
  t.sparse_ms = median_ms([&] { sparse.run(); });
  t.map_ms = median_ms([&] { sparse.build_map(); });
  return t;
}

void check_same(const DenseProblem& p, DenseConvolution& dense, Executor& executor) {
  const Coords sites = occupied(p.dims, p.extent, 1.0, Pattern::uniform);
  Sparse sparse(p, sites, executor);
  sparse.run();
  dense.run();
  const std::vector<float> theirs = dense.result();
  RAREFY_CHECK(theirs.size() == sparse.result().size(), Error, "{} computed {} values, {} are expected", dense.name(),
               theirs.size(), sparse.result().size());
  // Sums of K * C products of numbers in [-1, 1].
  const double tolerance = 1e-5 * std::sqrt(static_cast<double>(p.volume() * p.channels));
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    RAREFY_CHECK(std::abs(double{theirs[i]} - sparse.result()[i]) <= tolerance, Error,
                 "kernel {} with {} channels: {} computed {} where ours is {} (cell {}, channel {}): not the same "
                 "convolution, so no times",
                 p.kernel, p.channels, dense.name(), theirs[i], sparse.result()[i],
                 i / static_cast<std::size_t>(p.channels), i % static_cast<std::size_t>(p.channels));
  }
}

/// The rows of one problem, a pattern each.
std::vector<CrossoverRow> measure_problem(const CrossoverOptions& o, const DenseProblem& p, DenseConvolution& dense) {
  const auto executor = make_thread_pool(p.threads);
  dense.prepare(p);
  check_same(p, dense, *executor);
  std::vector<double> dense_times{median_ms([&] { dense.run(); })};
  std::vector<CrossoverRow> rows;
  for (const Pattern pattern : o.patterns) {
    CrossoverRow& row = rows.emplace_back();
    row.dims = p.dims;
    row.kernel = p.kernel;
    row.threads = p.threads;
    row.channels = p.channels;
    row.pattern = pattern;
    for (const double density : o.densities) row.times.push_back(measure_density(p, density, pattern, *executor));
    dense_times.push_back(median_ms([&] { dense.run(); }));
  }
  for (CrossoverRow& row : rows) {
    row.dense_ms = median(dense_times);
    row.dense_gflops = 1e3 * p.gflop() / row.dense_ms;
    std::vector<double> cached, fresh;
    for (const DensityTimes& t : row.times) {
      cached.push_back(t.sparse_ms);
      fresh.push_back(t.sparse_ms + t.map_ms);
    }
    row.cached = crossing(o.densities, cached, kMargin * row.dense_ms);
    row.fresh = crossing(o.densities, fresh, kMargin * row.dense_ms);
  }
  return rows;
}

}  // namespace

std::int64_t DenseProblem::cells() const {
  std::int64_t n = 1;
  for (int a = 0; a < dims; ++a) n *= extent;
  return n;
}
std::int64_t DenseProblem::volume() const { return shape_of(dims, kernel).volume(); }
double DenseProblem::gflop() const { return 2e-9 * static_cast<double>(cells() * volume() * channels * channels); }

std::unique_ptr<DenseConvolution> own_dense() { return std::make_unique<OwnDense>(); }

std::optional<double> crossing(const std::vector<double>& densities, const std::vector<double>& sparse, double dense) {
  for (std::size_t i = 0; i < densities.size(); ++i) {
    if (sparse[i] <= dense) continue;
    if (i == 0) return densities[0];
    const double share = (dense - sparse[i - 1]) / (sparse[i] - sparse[i - 1]);
    const double low = std::log(densities[i - 1]), high = std::log(densities[i]);
    return std::exp(low + std::max(0.0, share) * (high - low));
  }
  return std::nullopt;
}

void measure_crossover(const CrossoverOptions& o, DenseConvolution* dense,
                       const std::function<void(const CrossoverRow&)>& row) {
  const auto own = own_dense();
  DenseConvolution& against = dense != nullptr ? *dense : *own;
  for (const int kernel : o.kernels) {
    for (const std::int64_t channels : o.channels) {
      for (const int threads : o.threads) {
        DenseProblem p{
            .dims = o.dims, .extent = extent_of(o.dims), .kernel = kernel, .channels = channels, .threads = threads};
        const auto x = random_floats(p.cells() * channels, 1);
        const auto weights = random_floats(p.volume() * channels * channels, 2);
        p.x = x.data();
        p.weights = weights.data();
        for (const CrossoverRow& r : measure_problem(o, p, against)) row(r);
      }
    }
  }
}

}  // namespace rarefy::cli::bench
