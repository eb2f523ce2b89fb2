#include "kernels/cuda/kernel_map.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "kernels/cuda/geometry/radix_sort.h"
#include "kernels/cuda/geometry/sites_impl.h"
#include "kernels/cuda/geometry/slices.h"
#include "kernels/cuda/maps/map_kernels.h"

namespace rarefy::cuda {
namespace {

using namespace geometry;

constexpr std::int64_t kColumns = 128;
std::int64_t columns_for(std::int64_t rows) { return (rows + kColumns - 1) / kColumns * kColumns; }

std::int32_t* reserve_table(DeviceBuffer& buffer, std::int64_t rows, std::int64_t ld) {
  return buffer.reserve_for<std::int32_t>(std::max<std::int64_t>(rows * ld, 1));
}

/// Describes a map that is about to be made, and makes room.
void start(std::int64_t in_rows, std::int64_t out_rows, std::int64_t volume, DeviceMap& map) {
  map.in_rows = in_rows;
  map.out_rows = out_rows;
  map.ld = columns_for(out_rows);
  map.volume = static_cast<int>(volume);
  map.splits = 0;
  reserve_table(map.in_row, volume, map.ld);
  map.pairs.reserve_for<std::int64_t>(1);
}

MapView view(const DeviceMap& map) {
  MapView view;
  view.in_rows = map.in_rows;
  view.out_rows = map.out_rows;
  view.ld = map.ld;
  view.volume = map.volume;
  return view;
}

void check_known(const Sites& sites, const char* which) {
  RAREFY_CHECK(sites.rows >= 0, UsageError, "the rows of the {} sites are known on the GPU only: call read_rows first",
               which);
}

}  // namespace

MapView DeviceMap::plain() const {
  MapView result = view(*this);
  result.in_row = in_row.as<std::int32_t>();
  return result;
}

MapView DeviceMap::by_mask() const {
  RAREFY_CHECK(splits > 0, UsageError, "the kernel map has no sorted form: call sort_map first");
  MapView result = view(*this);
  result.splits = splits;
  result.in_row = sorted.as<std::int32_t>();
  result.order = order.as<std::int32_t>();
  result.masks = masks.as<std::uint32_t>();
  return result;
}

std::int64_t DeviceMap::memory_bytes() const {
  return in_row.capacity() + pairs.capacity() + sorted.capacity() + order.capacity() + masks.capacity() +
         scratch.capacity();
}

void build_kernel_map(const Sites& in, const Sites& out, const KernelShape& kernel, Stream stream, DeviceMap& map) {
  check_known(in, "input");
  check_known(out, "output");
  check_kernel_map({in.dims, in.stride, in.rows}, {out.dims, out.stride, out.rows}, kernel);
  const KeyLayout layout = key_layout(in.dims);
  const int last = in.dims - 1;
  start(in.rows, out.rows, kernel.volume(), map);
  auto* in_row = map.in_row.as<std::int32_t>();
  auto* pairs = map.pairs.as<std::int64_t>();
  fill_bytes(pairs, 0, sizeof(std::int64_t), stream);
  if (map.ld == 0) return;
  const MapInput input{in.key(), static_cast<std::int32_t>(in.rows), out.key(), static_cast<std::int32_t>(out.rows),
                       map.ld};
  // With a dilated last axis other sites may lie between those of a run, and listed offsets may be any: each offset is
  // then a run of its own.
  Runs runs;
  runs.length = kernel.dilation[last] == 1 && kernel.offsets.empty() ? kernel.size[last] : 1;
  runs.step = static_cast<std::uint64_t>(in.stride[last]);
  for (int k = 0; k < map.volume; k += runs.count * runs.length) {
    runs.first_offset = k;
    runs.count = std::min(Runs::kMost, (map.volume - k) / runs.length);
    for (int r = 0; r < runs.count; ++r) {
      Extent offset = kernel.offset(k + r * runs.length);
      for (int a = 0; a < kernel.dims; ++a) offset[a] *= in.stride[a];
      runs.delta[r] = key_delta(layout, offset.data());
    }
    find_rows(input, runs, stream, in_row, pairs);
  }
}

void transpose_map(const DeviceMap& map, Stream stream, DeviceMap& out) {
  RAREFY_ASSERT(&map != &out);
  start(map.out_rows, map.in_rows, map.volume, out);
  copy_on_device(out.pairs.data(), map.pairs.data(), sizeof(std::int64_t), stream);
  fill_bytes(out.in_row.data(), 0xFF, out.ld * out.volume * std::int64_t{sizeof(std::int32_t)}, stream);
  if (map.out_rows == 0) return;
  scatter_rows(map.in_row.as<std::int32_t>(), map.out_rows, map.ld, map.volume, out.ld, stream,
               out.in_row.as<std::int32_t>());
}

void sort_map(DeviceMap& map, int splits, Stream stream) {
  constexpr int kMaskBits = 32;
  splits = std::max({splits, 1, (map.volume + kMaskBits - 1) / kMaskBits});
  map.splits = splits;
  const SortedMap to{
      reserve_table(map.sorted, map.volume, map.ld), reserve_table(map.order, splits, map.ld),
      map.masks.reserve_for<std::uint32_t>(std::max<std::int64_t>(splits * map.ld / MapView::kMaskRows, 1))};
  if (map.ld == 0) return;
  Ranges ranges{map.volume, splits, (map.volume + splits - 1) / splits, map.out_rows, map.ld};
  const int number_bits = splits == 1 ? 0 : std::bit_width(static_cast<unsigned>(splits - 1));
  ranges.numbered = ranges.bits + number_bits <= kMaskBits;
  const std::int64_t sorts = ranges.numbered ? 1 : splits;
  const std::int64_t entries = splits * map.out_rows, of_one_sort = entries / sorts;
  const int bits = std::max(1, ranges.bits + (ranges.numbered ? number_bits : 0));

  Slices slices;
  const std::int64_t temp = slices.add<std::byte>(sort_bytes(SortKind::masks_with_rows, of_one_sort, bits));
  const std::int64_t keys_at = slices.add<std::uint32_t>(entries), sorted_keys_at = slices.add<std::uint32_t>(entries);
  const std::int64_t index_at = slices.add<std::int32_t>(entries), sorted_index_at = slices.add<std::int32_t>(entries);
  slices.reserve(map.scratch);
  auto *keys = slices.at<std::uint32_t>(keys_at), *sorted_keys = slices.at<std::uint32_t>(sorted_keys_at);
  auto *index = slices.at<std::int32_t>(index_at), *sorted_index = slices.at<std::int32_t>(sorted_index_at);
  const auto* in_row = map.in_row.as<std::int32_t>();
  make_masks(in_row, ranges, stream, keys, index);
  for (std::int64_t s = 0; s < sorts; ++s) {
    const std::int64_t at = s * of_one_sort;
    sort(keys + at, index + at, of_one_sort, bits, slices.at<std::byte>(temp), stream, sorted_keys + at,
         sorted_index + at);
  }
  apply_order(in_row, ranges, sorted_keys, sorted_index, stream, to);
}

}  // namespace rarefy::cuda
