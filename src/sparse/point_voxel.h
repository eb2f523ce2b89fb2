#pragma once
/// Between points and the voxels of any stride: which site holds a position, and which sites surround it. Positions are
/// in units of the finest voxel; the site of a voxel at stride s is its lower corner, a multiple of s per axis.
/// Source: the point-voxel transfer of SPVCNN, Tang et al., ECCV 2020, section 3.1 (voxelization and trilinear
/// devoxelization of the point branch).
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/coords.h"
#include "sparse/voxelize.h"

namespace rarefy {

/// Positions of rows: the sites of a space, or points.
struct Positions {
  const Coords* sites = nullptr;                    ///< when set, the rest is not looked at
  Matrix<const float> points = {};                  ///< [P, >= dims] position = points / voxel_size, in float32
  std::span<const std::int64_t> sample_begin = {};  ///< [B+1] rows of each sample
  std::array<float, kMaxDims> voxel_size{1, 1, 1, 1};

  std::int64_t rows() const { return sites != nullptr ? sites->rows() : points.rows; }
};

/// For each position the row of the site of `to` that holds it: floor(position / stride) * stride per axis; -1 where
/// there is no such site, or the position is NaN, infinite or out of range. The rows of `out` are those of the
/// positions; its `coords` stay empty and its counters 0. Deterministic for any executor.
/// @throws ShapeError  `from` has other dimensions, or fewer columns, than `to`
/// Cost: O(P) for positions in the order of their keys, O(P log N) for any other; no allocation once vectors have
/// grown.
void locate(const Positions& from, const Coords& to, Executor& executor, Voxels& out);

/// What becomes of the weight of neighbours that do not exist.
enum class MissingNeighbours : std::uint8_t {
  renormalise,  ///< weights of those that exist are divided by (their sum + 1e-8), as in torchsparse's devoxelization
  zero,         ///< they count as rows of zeros, as in MinkowskiEngine's interpolation
};

/// For each position, the sites at the 2^D corners of the cell around it and their multilinear weights. Corners in
/// lexicographic order, the last axis fastest, lower corner first.
struct Interpolation {
  std::int64_t corners = 0;       ///< 2^D
  std::int64_t sites = 0;         ///< rows of the space that is read
  std::vector<std::int32_t> row;  ///< [P, corners] row of the site, or -1
  std::vector<float> weight;      ///< [P, corners] 0 where there is no site

  std::int64_t rows() const { return corners == 0 ? 0 : static_cast<std::int64_t>(row.size()) / corners; }
  /// Memory held.
  std::int64_t memory_bytes() const;
};

/// Interpolation of features at the sites of `to`, at any positions; errors, order and cost as locate. Positions that
/// are NaN, infinite or out of range have no neighbours. At a site's own position its weight is 1.
void make_interpolation(const Positions& at, const Coords& to, MissingNeighbours missing, Executor& executor,
                        Interpolation& out);

/// y[p] = sum over the corners of weight * x[row]. x: [N, C]; y: [P, C]. @throws ShapeError as gather_rows.
void interpolate(const Interpolation& interpolation, Matrix<const float> x, Executor& executor, Matrix<float> y);

/// Gradient of interpolate with respect to x: [N, C]. Each row sums over the positions that read it, in their order.
void interpolate_gradient(const Interpolation& interpolation, Matrix<const float> y_gradient, Executor& executor,
                          Matrix<float> x_gradient);

}  // namespace rarefy
