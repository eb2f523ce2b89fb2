#include <algorithm>
#include <bit>

#include "base/check.h"
#include "kernels/cuda/geometry/radix_sort.h"
#include "kernels/cuda/geometry/sites_impl.h"
#include "kernels/cuda/geometry/slices.h"
#include "kernels/cuda/kernel_map.h"
#include "kernels/cuda/maps/position_kernels.h"

namespace rarefy::cuda {
namespace {

using namespace geometry;  // NOLINT(google-build-using-namespace): its own part

void check_positions(const DevicePositions& from, const Sites& to) {
  if (from.sites != nullptr) {
    RAREFY_CHECK(from.sites->dims == to.dims, ShapeError, "positions have {} axes, the sites to find have {}",
                 from.sites->dims, to.dims);
    return;
  }
  RAREFY_CHECK(from.points.rows == 0 || from.points.cols >= to.dims, ShapeError,
               "{}-dimensional positions need at least {} columns, points have {}", to.dims, to.dims, from.points.cols);
  for (int a = 0; a < to.dims; ++a)
    RAREFY_CHECK(from.voxel_size[static_cast<std::size_t>(a)] > 0.0f, UsageError,
                 "the voxel size along {} must be positive, got {}", kAxisName[a],
                 from.voxel_size[static_cast<std::size_t>(a)]);
}

PositionInput input_of(const DevicePositions& from) {
  PositionInput input;
  if (from.sites != nullptr) {
    input.site_keys = from.sites->key();
    input.site_count = from.sites->count.as<std::int32_t>();
    input.rows = most_rows(*from.sites);
    return input;
  }
  input.points = from.points.data;
  input.rows = from.points.rows;
  input.row_stride = from.points.row_stride;
  input.sample_of_point = from.sample_of_point;
  input.voxel_size = from.voxel_size;
  return input;
}

TargetSites target_of(const Sites& to) {
  return {to.key(), to.count.as<std::int32_t>(), key_layout(to.dims), to.stride};
}

}  // namespace

void locate(const DevicePositions& from, const Sites& to, Stream stream, std::int32_t* rows) {
  check_positions(from, to);
  locate_rows(input_of(from), target_of(to), stream, rows);
}

void make_interpolation(const DevicePositions& at, const Sites& to, MissingNeighbours missing, Stream stream,
                        std::int32_t* row, float* weight) {
  check_positions(at, to);
  const Scale scale = missing == MissingNeighbours::renormalise ? Scale::to_one : Scale::none;
  interpolation_rows(input_of(at), target_of(to), scale, stream, row, weight);
}

void invert_index(const std::int32_t* index, std::int64_t count, std::int64_t targets, Stream stream,
                  DeviceBuffer& scratch, std::int32_t* begin, std::int32_t* order) {
  const int bits = std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(targets, 1)));
  Slices slices;
  const std::int64_t temp = slices.add<std::byte>(sort_bytes(SortKind::masks_with_rows, count, bits));
  const std::int64_t keys_at = slices.add<std::uint32_t>(count), sorted_at = slices.add<std::uint32_t>(count);
  const std::int64_t rows_at = slices.add<std::int32_t>(count);
  slices.reserve(scratch);
  auto *keys = slices.at<std::uint32_t>(keys_at), *sorted = slices.at<std::uint32_t>(sorted_at);
  index_keys(index, count, targets, stream, keys, slices.at<std::int32_t>(rows_at));
  sort(keys, slices.at<std::int32_t>(rows_at), count, bits, slices.at<std::byte>(temp), stream, sorted, order);
  begins_of(sorted, count, targets, stream, begin);
}

}  // namespace rarefy::cuda
