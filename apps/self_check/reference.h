#pragma once
/// Plain loops in double precision: what the kernels are compared with. Slow and obvious on purpose.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "rarefy/tensor.h"
#include "self_check/self_check.h"
#include "sparse/coords.h"
#include "sparse/kernel_map.h"

namespace rarefy::self_check {

/// (batch, x, y, z)
using Site = std::array<std::int32_t, 4>;

/// A surface with holes, lone sites and a solid block, in two samples, around the origin. Sorted.
std::vector<Site> make_sites(Rng& rng);
Coords coords_of(const std::vector<Site>& sites);
std::vector<Site> sites_of(const Coords& coords);

/// Row `in` meets row `out` under offset k.
struct Pair {
  std::int32_t in;
  std::int32_t out;
  std::int64_t k;
  auto operator<=>(const Pair&) const = default;
};
/// Pairs of a kernel whose inputs lie at stride 1: in = out + offset.
std::vector<Pair> find_pairs(const std::vector<Site>& in, const std::vector<Site>& out, const KernelShape& kernel);
/// The pairs that a map holds.
std::vector<Pair> pairs_of(const KernelMap& map);
/// Output sites of a strided kernel over inputs at stride 1.
std::vector<Site> strided_sites(const std::vector<Site>& in, const KernelShape& kernel);

/// Results in double, and the sum of the absolute values of what was added.
struct Values {
  std::vector<double> value, magnitude;
  explicit Values(std::int64_t size);
  void add(std::int64_t at, double term);
};
/// [rows_out, out_channels] of weights [K, C_in, C_out].
Values convolve(Matrix<const float> x, const std::vector<float>& weights, const std::vector<Pair>& pairs,
                std::int64_t rows_out, std::int64_t out_channels);
/// [rows_in, in_channels]
Values input_gradient(Matrix<const float> gy, const std::vector<float>& weights, const std::vector<Pair>& pairs,
                      std::int64_t rows_in, std::int64_t in_channels);
/// [K * C_in * C_out]
Values weight_gradient(Matrix<const float> x, Matrix<const float> gy, const std::vector<Pair>& pairs,
                       std::int64_t volume);

/// Rows with a margin of marked values around each: whoever reads them makes a NaN, whoever writes them is caught.
class Rows {
 public:
  Rows(std::int64_t rows, std::int64_t cols);
  Matrix<float> view();
  Rows& normal(Rng& rng);
  Rows& integers(Rng& rng);
  bool intact() const;

 private:
  std::int64_t rows_, cols_, stride_;
  std::vector<float> data_;
};
std::vector<float> normal_values(Rng& rng, std::int64_t count);
std::vector<float> integer_values(Rng& rng, std::int64_t count);

/// Largest |actual - expected| / magnitude; infinite when something is NaN.
double relative_error(Matrix<const float> actual, const Values& expected);
/// Whether two matrices hold the same bits.
bool same_bits(Matrix<const float> a, Matrix<const float> b);

}  // namespace rarefy::self_check
