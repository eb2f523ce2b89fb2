#pragma once
/// Sparse convolution in double precision, the obvious way: the judge of kernels/conv.h.
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "kernels/conv.h"
#include "rarefy/tensor.h"
#include "sparse/kernel_map.h"

namespace rarefy::oracle {

/// One multiplication of a sparse convolution: row `in` of x times W[k] goes to row `out` of y.
struct ConvPair {
  std::int32_t in;
  std::int32_t out;
  std::int64_t k;
};

/// KernelMap of any set of pairs, by sorting.
KernelMap make_map(std::vector<ConvPair> pairs, std::int64_t in_rows, std::int64_t out_rows, std::int64_t volume);
/// All pairs of a map, in its order.
std::vector<ConvPair> pairs_of(const KernelMap& map);
/// The same pairs with input and output exchanged.
KernelMap transposed(const KernelMap& map);

/// Sites of a random set in a box, and the map of a submanifold kernel of odd `size` over them, by comparing all sites.
/// The density varies: from lone sites to a full box.
KernelMap random_submanifold_map(Rng& rng, std::int64_t most_sites, int size);
/// A map between different sets of rows. As in every map of a kernel, an offset joins a row with at most one other, in
/// both directions; `density` is the share of the possible pairs.
KernelMap random_map(Rng& rng, std::int64_t in_rows, std::int64_t out_rows, std::int64_t volume, double density);
/// All sites of an nx x ny x nz box, 3x3x3; row of (x, y, z) = (x * ny + y) * nz + z.
KernelMap dense_box_map(int nx, int ny, int nz);

/// Result in double, and the sum of the absolute values of what was added: a bound of the rounding error's scale.
struct Values {
  std::vector<double> value;
  std::vector<double> magnitude;
};

/// [N_out, C_out] before the activation.
Values conv(Matrix<const float> x, const std::vector<float>& weights, const KernelMap* map, std::int64_t out_channels,
            const float* bias, Matrix<const float> residual);
/// [N_in, C_in]: scatter of gy[o] W[k]^T, straight from the definition.
Values conv_input_gradient(Matrix<const float> gy, const std::vector<float>& weights, const KernelMap* map,
                           std::int64_t in_rows, std::int64_t in_channels);
/// [K, C_in, C_out]
Values conv_weight_gradient(Matrix<const float> x, Matrix<const float> gy, const KernelMap* map, std::int64_t volume);

}  // namespace rarefy::oracle
