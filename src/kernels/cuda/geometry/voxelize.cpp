#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/cuda/geometry/radix_sort.h"
#include "kernels/cuda/geometry/sites_impl.h"
#include "kernels/cuda/geometry/slices.h"
#include "kernels/cuda/geometry/unique.h"
#include "kernels/cuda/geometry/voxelize_kernels.h"
#include "kernels/cuda/sites.h"

namespace rarefy::cuda {
namespace geometry {

KeyPacking pack_box(int dims, const Extent& low, const Extent& high) {
  KeyPacking packing;
  packing.dims = dims;
  int shift = 0;
  for (int a = dims - 1; a >= 0; --a) {
    const auto range = static_cast<std::uint64_t>(std::int64_t{high[a]} - low[a]);
    // One field has a value to spare, so that no site is all ones.
    const int bits = std::bit_width(a == dims - 1 ? range + 1 : range);
    packing.low[a] = low[a];
    packing.shift[a] = shift;
    packing.mask[a] = static_cast<std::uint32_t>((std::uint64_t{1} << bits) - 1);
    shift += bits;
  }
  packing.batch_shift = shift;
  return packing;
}

}  // namespace geometry

namespace {

using namespace geometry;  // NOLINT(google-build-using-namespace): its own part

/// Positions that a coordinate within the crop can have: dividing and rounding keep order.
struct Box {
  Extent low{};
  Extent high{};
};

Box crop_box(const VoxelizeOptions& options, std::int64_t limit) {
  const auto position = [&](float x, int a) {
    float q = (x - options.origin[static_cast<std::size_t>(a)]) / options.voxel_size[static_cast<std::size_t>(a)];
    q = options.rounding == Rounding::floor ? std::floor(q) : std::nearbyint(q);
    return static_cast<std::int32_t>(
        std::clamp(static_cast<double>(q), static_cast<double>(-limit), static_cast<double>(limit - 1)));
  };
  Box box;
  for (int a = 0; a < options.dims; ++a) {
    box.low[a] = position(options.crop_min[static_cast<std::size_t>(a)], a);
    box.high[a] = std::max(box.low[a], position(options.crop_max[static_cast<std::size_t>(a)], a));
  }
  return box;
}

/// The box after the minimum of each sample has become 0.
Box moved_to_zero(const Box& box, int dims, std::int64_t limit) {
  Box moved;
  for (int a = 0; a < dims; ++a)
    moved.high[a] = static_cast<std::int32_t>(std::min(std::int64_t{box.high[a]} - box.low[a], limit - 1));
  return moved;
}

}  // namespace

std::int64_t PointVoxels::memory_bytes() const {
  std::int64_t sum = sites.memory_bytes() + voxel_of_point.capacity() + point_order.capacity() +
                     point_begin.capacity() + counters.capacity();
  for (const DeviceBuffer& buffer : scratch) sum += buffer.capacity();
  return sum;
}

void voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin, const VoxelizeOptions& options,
              Stream stream, PointVoxels& out) {
  check_voxelize(points, sample_begin, options);
  const KeyLayout layout = key_layout(options.dims);
  const int dims = options.dims;
  const std::int64_t count = points.rows, room = std::max<std::int64_t>(count, 1);
  const auto samples = static_cast<std::int64_t>(sample_begin.size()) - 1;
  const bool shifts = options.rounding == Rounding::round_minus_min;
  const Box box = crop_box(options, layout.limit);
  const KeyPacking packing = pack_box(dims, box.low, box.high);
  const Box last_box = shifts ? moved_to_zero(box, dims, layout.limit) : box;
  const KeyPacking last_packing = shifts ? pack_box(dims, last_box.low, last_box.high) : packing;
  const int bits = last_packing.batch_shift + batch_bits(samples);

  start(dims, {1, 1, 1, 1}, samples, count, out.sites);
  out.points = count;
  auto* voxel_of_point = out.voxel_of_point.reserve_for<std::int32_t>(room);
  auto* order = out.point_order.reserve_for<std::int32_t>(room);
  auto* point_begin = out.point_begin.reserve_for<std::int32_t>(room + 1);
  auto* counters = out.counters.reserve_for<std::int32_t>(2);
  auto* keys = out.scratch[0].reserve_for<std::uint64_t>(room);
  auto* sorted = out.scratch[1].reserve_for<std::uint64_t>(room);
  auto* index = out.scratch[2].reserve_for<std::int32_t>(room);
  Slices slices;
  const std::int64_t temp = slices.add<std::byte>(sort_bytes(SortKind::sites_with_rows, count, bits));
  const std::int64_t tile_counts = slices.add<std::int32_t>(tiles_of(count));
  const std::int64_t begins = slices.add<std::int32_t>(samples + 1);
  const std::int64_t minima = slices.add<std::uint32_t>(samples * dims);
  slices.reserve(out.scratch[3]);

  fill_bytes(counters, 0, 2 * sizeof(std::int32_t), stream);
  PointSet set{points.data, count, points.row_stride, slices.at<std::int32_t>(begins), samples};
  if (samples > 1) store_begins(sample_begin, stream, slices.at<std::int32_t>(begins));
  if (shifts)
    fill_bytes(slices.at<std::uint32_t>(minima), 0xFF, samples * dims * std::int64_t{sizeof(std::uint32_t)}, stream);
  const Grid grid{options.voxel_size, options.origin, options.crop_min, options.crop_max,
                  static_cast<float>(layout.limit)};
  quantize(set, grid, shifts ? Rule::round : Rule::floor, packing, stream, keys, index, counters,
           slices.at<std::uint32_t>(minima));
  if (shifts)
    subtract_minima(packing, last_packing, static_cast<std::uint32_t>(layout.limit - 1),
                    slices.at<std::uint32_t>(minima), count, stream, keys, counters);
  sort(keys, index, count, bits, slices.at<std::byte>(temp), stream, sorted, order);
  count_heads({.keys = sorted, .size = count}, stream, slices.at<std::int32_t>(tile_counts));
  write_voxels({sorted, order, count}, last_packing, layout, slices.at<std::int32_t>(tile_counts), stream,
               {out.sites.keys.as<std::uint64_t>(), out.sites.count.as<std::int32_t>(), point_begin, voxel_of_point});
}

}  // namespace rarefy::cuda
