#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/search.h"
#include "kernels/cuda/maps/position_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = 128;

__device__ std::int64_t thread_index() { return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

__device__ std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/// The cell of the target's grid that holds a position; as on the CPU (sparse/point_voxel.cpp), operation by operation.
template <int kDims>
struct Cell {
  bool valid = true;
  bool low_in_range = true;
  std::uint64_t batch = 0;
  std::int64_t low[kDims] = {};
  double fraction[kDims] = {};

  __device__ void set_axis(const TargetSites& to, int axis, std::int64_t floor, double position) {
    const std::int64_t stride = to.stride[axis];
    low[axis] = floor_div(floor, stride) * stride;
    low_in_range = low_in_range && low[axis] >= -to.layout.limit;
    fraction[axis] = __ddiv_rn(__dsub_rn(position, static_cast<double>(low[axis])), static_cast<double>(stride));
  }
};

template <int kDims>
__device__ Cell<kDims> cell_of(const PositionInput& from, const TargetSites& to, std::int64_t row) {
  Cell<kDims> cell;
  if (from.site_keys != nullptr) {
    const std::uint64_t key = from.site_keys[row], mask = (std::uint64_t{1} << to.layout.axis_bits) - 1;
    const std::int64_t bias = std::int64_t{1} << (to.layout.axis_bits - 1);
    cell.batch = key >> (kDims * to.layout.axis_bits);
#pragma unroll
    for (int a = 0; a < kDims; ++a) {
      const std::int64_t field = static_cast<std::int64_t>(key >> ((kDims - 1 - a) * to.layout.axis_bits) & mask);
      cell.set_axis(to, a, field - bias, static_cast<double>(field - bias));
    }
    return cell;
  }
  const std::int32_t sample = from.sample_of_point == nullptr ? 0 : from.sample_of_point[row];
  cell.batch = static_cast<std::uint64_t>(sample);
  cell.valid = sample >= 0;
  const auto limit = static_cast<float>(to.layout.limit);
  const float* x = from.points + row * from.row_stride;
#pragma unroll
  for (int a = 0; a < kDims; ++a) {
    const float q = __fdiv_rn(x[a], from.voxel_size[a]);
    cell.valid = cell.valid && q >= -limit && q < limit;  // false for NaN
    if (cell.valid) cell.set_axis(to, a, static_cast<std::int64_t>(floorf(q)), static_cast<double>(q));
  }
  return cell;
}

/// Neither reads nor writes past the positions that there are.
__device__ bool exists(const PositionInput& from, std::int64_t row) {
  return row < from.rows && (from.site_count == nullptr || row < *from.site_count);
}

__device__ std::uint64_t with_field(const KeyLayout& layout, std::uint64_t key, std::int64_t position) {
  const std::int64_t bias = std::int64_t{1} << (layout.axis_bits - 1);
  return key << layout.axis_bits | static_cast<std::uint64_t>(position + bias);
}

template <int kDims>
__global__ void __launch_bounds__(kThreads) locate_kernel(PositionInput from, TargetSites to, std::int32_t* rows) {
  const std::int64_t row = thread_index();
  if (!exists(from, row)) return;
  const Cell<kDims> cell = cell_of<kDims>(from, to, row);
  std::int32_t found = -1;
  if (cell.valid && cell.low_in_range) {
    std::uint64_t key = cell.batch;
#pragma unroll
    for (int a = 0; a < kDims; ++a) key = with_field(to.layout, key, cell.low[a]);
    const std::int32_t count = *to.count, at = lower_bound(to.keys, 0, count, key);
    if (at < count && to.keys[at] == key) found = at;
  }
  rows[row] = found;
}

__device__ bool in_range(const KeyLayout& layout, std::int64_t position) {
  return position >= -layout.limit && position < layout.limit;
}

__device__ std::int32_t row_at(const TargetSites& to, std::int32_t count, std::int32_t at, std::uint64_t key) {
  return at < count && to.keys[at] == key ? at : -1;
}

/// Rows of the corners: lines along the last axis, whose two corners are neighbours in the keys or absent.
template <int kDims>
__device__ void find_corners(const Cell<kDims>& cell, const TargetSites& to, std::int32_t* rows) {
  constexpr int kLast = kDims - 1;
  const std::int32_t count = *to.count;
  const std::int64_t step = to.stride[kLast];
  // A key out of range would be another site's: the search starts at the first corner of the line that is in range.
  const bool lower = in_range(to.layout, cell.low[kLast]), upper = in_range(to.layout, cell.low[kLast] + step);
#pragma unroll
  for (int line = 0; line < 1 << kLast; ++line) {
    bool inside = lower || upper;
    std::uint64_t key = cell.batch;
#pragma unroll
    for (int a = 0; a < kLast; ++a) {
      const std::int64_t position = cell.low[a] + ((line >> (kLast - 1 - a) & 1) != 0 ? to.stride[a] : 0);
      inside = inside && in_range(to.layout, position);
      key = with_field(to.layout, key, position);
    }
    rows[2 * line] = rows[2 * line + 1] = -1;
    if (!inside) continue;
    key = with_field(to.layout, key, cell.low[kLast] + (lower ? 0 : step));
    std::int32_t at = lower_bound(to.keys, 0, count, key);
    if (lower) rows[2 * line] = row_at(to, count, at, key);
    if (lower && rows[2 * line] >= 0) ++at;
    if (upper) rows[2 * line + 1] = row_at(to, count, at, lower ? key + static_cast<std::uint64_t>(step) : key);
  }
}

template <int kDims, Scale kScale>
__global__ void __launch_bounds__(kThreads)
    interpolation_kernel(PositionInput from, TargetSites to, std::int32_t* row_out, float* weight_out) {
  constexpr int kCorners = 1 << kDims;
  const std::int64_t row = thread_index();
  if (!exists(from, row)) return;
  const Cell<kDims> cell = cell_of<kDims>(from, to, row);
  std::int32_t rows[kCorners];
  double exact[kCorners];
  double sum = 0.0;
  if (cell.valid) find_corners<kDims>(cell, to, rows);
#pragma unroll
  for (int corner = 0; corner < kCorners; ++corner) {
    if (!cell.valid) rows[corner] = -1;
    double w = rows[corner] < 0 ? 0.0 : 1.0;
    // Products and sums stay apart: fused, their bits would differ from the CPU's.
#pragma unroll
    for (int a = 0; a < kDims; ++a)
      w = __dmul_rn(w, (corner >> (kDims - 1 - a) & 1) != 0 ? cell.fraction[a] : __dsub_rn(1.0, cell.fraction[a]));
    exact[corner] = w;
    sum = __dadd_rn(sum, w);
  }
  const double scale = kScale == Scale::to_one ? __ddiv_rn(1.0, __dadd_rn(sum, 1e-8)) : 1.0;
#pragma unroll
  for (int corner = 0; corner < kCorners; ++corner) {
    row_out[row * kCorners + corner] = rows[corner];
    weight_out[row * kCorners + corner] = cell.valid ? static_cast<float>(__dmul_rn(exact[corner], scale)) : 0.0f;
  }
}

__global__ void __launch_bounds__(kThreads)
    index_keys_kernel(const std::int32_t* index, std::int64_t count, std::uint32_t targets, std::uint32_t* keys,
                      std::int32_t* rows) {
  const std::int64_t p = thread_index();
  if (p >= count) return;
  keys[p] = index[p] < 0 ? targets : static_cast<std::uint32_t>(index[p]);
  rows[p] = static_cast<std::int32_t>(p);
}

__global__ void __launch_bounds__(kThreads)
    begins_kernel(const std::uint32_t* sorted, std::int64_t count, std::int64_t targets, std::int32_t* begin) {
  const std::int64_t target = thread_index();
  if (target > targets) return;
  std::int64_t low = 0, high = count;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (sorted[middle] < static_cast<std::uint32_t>(target))
      low = middle + 1;
    else
      high = middle;
  }
  begin[target] = static_cast<std::int32_t>(low);
}

using LocateKernel = void (*)(PositionInput, TargetSites, std::int32_t*);
constexpr LocateKernel kLocate[kMaxDims] = {locate_kernel<1>, locate_kernel<2>, locate_kernel<3>, locate_kernel<4>};
using InterpolationKernel = void (*)(PositionInput, TargetSites, std::int32_t*, float*);
template <Scale kScale>
constexpr InterpolationKernel kInterpolation[kMaxDims] = {
    interpolation_kernel<1, kScale>, interpolation_kernel<2, kScale>, interpolation_kernel<3, kScale>,
    interpolation_kernel<4, kScale>};

}  // namespace

void locate_rows(const PositionInput& from, const TargetSites& to, Stream stream, std::int32_t* rows) {
  kLocate[to.layout.dims - 1]<<<blocks_for(from.rows, kThreads), kThreads, 0, stream>>>(from, to, rows);
  check_launch("locating positions");
}

void interpolation_rows(const PositionInput& at, const TargetSites& to, Scale scale, Stream stream, std::int32_t* row,
                        float* weight) {
  const auto kernel =
      (scale == Scale::to_one ? kInterpolation<Scale::to_one> : kInterpolation<Scale::none>)[to.layout.dims - 1];
  kernel<<<blocks_for(at.rows, kThreads), kThreads, 0, stream>>>(at, to, row, weight);
  check_launch("making interpolation weights");
}

void index_keys(const std::int32_t* index, std::int64_t count, std::int64_t targets, Stream stream, std::uint32_t* keys,
                std::int32_t* rows) {
  index_keys_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(
      index, count, static_cast<std::uint32_t>(targets), keys, rows);
  check_launch("reading an index");
}

void begins_of(const std::uint32_t* sorted, std::int64_t count, std::int64_t targets, Stream stream,
               std::int32_t* begin) {
  begins_kernel<<<blocks_for(targets + 1, kThreads), kThreads, 0, stream>>>(sorted, count, targets, begin);
  check_launch("inverting an index");
}

}  // namespace rarefy::cuda::geometry
