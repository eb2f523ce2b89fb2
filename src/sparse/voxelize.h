#pragma once
/// From points to voxels.
#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "rarefy/executor.h"
#include "rarefy/tensor.h"
#include "sparse/coords.h"

namespace rarefy {

enum class Rounding : std::uint8_t {
  floor,  ///< exactly numpy.floor(xyz / numpy.float32(v)), division and floor in float32
  /// The rule of the spvnas code: numpy.round(xyz / numpy.float32(v)), then minus the minimum per sample and axis,
  /// taken over the points that are finite, inside the crop and in the range of valid coordinates before the shift.
  round_minus_min,
};

struct VoxelizeOptions {
  int dims = 3;
  std::array<float, kMaxDims> voxel_size{0.05f, 0.05f, 0.05f,
                                         1.0f};  ///< metres (last axis: whatever unit the data have)
  Rounding rounding = Rounding::floor;
  /// Points outside [crop_min, crop_max) are dropped. Infinite = no crop.
  std::array<float, kMaxDims> crop_min = filled(-std::numeric_limits<float>::infinity());
  std::array<float, kMaxDims> crop_max = filled(std::numeric_limits<float>::infinity());
  /// Subtracted from the points, in float32, before the division.
  std::array<float, kMaxDims> origin = filled(0.0f);
  static constexpr std::array<float, kMaxDims> filled(float v) { return {v, v, v, v}; }
};
/// How models and programs call the rules: "floor", "round_minus_min", and "floor_from_crop", the rule of spconv's
/// point-to-voxel: floor with the crop's lower corner as origin (set the crop first).
/// @throws UsageError listing the names; and when "floor_from_crop" has no finite corner
void set_rounding(std::string_view name, VoxelizeOptions& options);

/// What voxelization made of the points. Vectors keep their capacity between calls.
struct Voxels {
  Coords coords;                             ///< [V] sorted
  std::vector<std::int32_t> voxel_of_point;  ///< [P] row in coords, or -1 for a point that was dropped
  std::vector<std::int32_t> point_order;     ///< [kept] points sorted by voxel, in input order within a voxel
  std::vector<std::int32_t>
      point_begin;              ///< [V+1] points of voxel v are point_order[point_begin[v] .. point_begin[v+1])
  std::int64_t not_finite = 0;  ///< points dropped because a coordinate is NaN or infinite
  std::int64_t outside = 0;     ///< points dropped because they lie outside the crop or the valid coordinates
  std::vector<std::uint64_t> scratch[4];  ///< working memory

  /// V. What `locate` (point_voxel.h) makes has no coords of its own, and voxels without points.
  std::int64_t voxels() const { return point_begin.empty() ? 0 : static_cast<std::int64_t>(point_begin.size()) - 1; }
  /// Memory held, working memory included.
  std::int64_t memory_bytes() const;
};

/// Voxelizes points of one or several samples.
/// @param points  [P, >= dims] columns 0..dims-1 are coordinates; any row stride
/// @param sample_begin  [B+1] rows of each sample
/// Deterministic for any executor. Points outside the range of valid coordinates count as outside.
/// @throws UsageError  dims, a voxel size (must be finite and positive) or a crop bound (must not be NaN) makes no
/// sense;
///                     sample_begin does not ascend from 0 to P; more samples or points than keys or row indices can
///                     hold
/// @throws ShapeError  points has fewer than dims columns
/// Cost: O(P) with a radix sort; no allocation once the vectors have grown.
void voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin, const VoxelizeOptions& options,
              Executor& executor, Voxels& out);

enum class Reduction : std::uint8_t { first, mean, max, sum };
/// "first", "mean", "max", "sum". @throws UsageError listing them
Reduction reduction_named(std::string_view name);

/// The checks of voxelize alone; the points themselves are not read (they may lie on another device).
void check_voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin,
                    const VoxelizeOptions& options);

/// Features of voxels from features of their points. y: [V, C]; x: [P, C].
/// Sum and mean sum in input order in float32; the mean divides once. The maximum of values that include NaN is NaN. A
/// voxel without points gets zeros.
/// @throws ShapeError  rows or columns of x and y do not fit (as for the functions below)
void reduce_to_voxels(const Voxels& voxels, Matrix<const float> x, Reduction reduction, Executor& executor,
                      Matrix<float> y);

/// Gradient of reduce_to_voxels with respect to x: [P, C] (zero for dropped points). For max, ties go to the first
/// point (and a NaN, to the first NaN).
void reduce_to_voxels_gradient(const Voxels& voxels, Matrix<const float> x, Matrix<const float> y_gradient,
                               Reduction reduction, Executor& executor, Matrix<float> x_gradient);

/// y[p] = index[p] >= 0 ? x[index[p]] : fill. Indices must be below the rows of x. The map back from voxels to points.
void gather_rows(std::span<const std::int32_t> index, Matrix<const float> x, float fill, Executor& executor,
                 Matrix<float> y);

/// Gradient of gather_rows: x_gradient[v] = sum over its points (in input order) of y_gradient[p], zero without points.
/// Of `voxels` it needs the index and its inverse alone.
void gather_rows_gradient(const Voxels& voxels, Matrix<const float> y_gradient, Executor& executor,
                          Matrix<float> x_gradient);

}  // namespace rarefy
