#pragma once
/// Sparse convolution on LibTorch's operators, the straightforward way: sites as sorted int64 keys, maps by binary
/// search, and per kernel offset index_select, mm, index_add_. 3-D, block rule. Differentiable by LibTorch's autograd.
#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace rarefy::peer {

/// Sites of a sparse tensor, ascending: 10 bits of batch, then 18 bits each of x, y, z, offset-binary.
struct Sites {
  at::Tensor keys;  ///< int64 [N]
  std::int64_t stride = 1;
};

/// Rows that meet under each kernel offset.
struct Map {
  struct Offset {
    at::Tensor in, out;  ///< int64 [pairs]; undefined for the identity
  };
  std::vector<Offset> offsets;
  std::int64_t identity = -1;  ///< offset that joins every row with itself, or -1: it needs no index
  std::int64_t out_rows = 0;
  std::int64_t pairs() const;
};

/// @param rows  int64 [N, 4]: batch, x, y, z; ascending
Sites make_sites(const at::Tensor& rows, std::int64_t stride);
/// floor(site / s) * s with s = stride * factor, a power of two.
Sites downsample(const Sites& sites, std::int64_t factor);
/// Offsets in lexicographic order, the last axis fastest; odd sizes are centred, even ones start at 0.
Map build_map(const Sites& in, const Sites& out, std::int64_t size);
Map transposed(const Map& map, std::int64_t out_rows);

/// Voxels of one scan.
struct Voxelized {
  Sites sites;
  at::Tensor voxel_of_point;  ///< int64 [P]
  at::Tensor points;          ///< int64 [V] points of each voxel
};
/// floor(x / v) in float32. @param points  [P, >= 3], finite
Voxelized voxelize(const at::Tensor& points, const std::vector<double>& voxel_size);
/// Mean of the points of each voxel.
at::Tensor mean_of_points(const at::Tensor& points, const Voxelized& voxels);

/// How the backward pass of a convolution comes about.
enum class Derivative : std::uint8_t {
  composed,     ///< by autograd, operator by operator
  handwritten,  ///< as one function: indices are used again, nothing is kept but the input
};
/// y[o] = bias + sum of x[i] W[k]. @param weight  [K, C_in, C_out]  @param bias  [C_out] or undefined
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Map& map,
                    Derivative derivative = Derivative::composed);

}  // namespace rarefy::peer
