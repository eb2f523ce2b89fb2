// The sorted form of kernel maps: which ranges of offsets are sorted together.
#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>

#include "base/check.h"
#include "kernels/cuda/geometry/radix_sort.h"
#include "kernels/cuda/geometry/slices.h"
#include "kernels/cuda/kernel_map.h"
#include "kernels/cuda/maps/map_kernels.h"

namespace rarefy::cuda {
namespace {

using namespace geometry;  // NOLINT(google-build-using-namespace): its own part

constexpr int kMaskBits = 32;

/// Collects ranges as long as their keys fit in 32 bits, then sorts them all at once: sorts of few rows take as long as
/// their launches.
class MaskSort {
 public:
  MaskSort(Stream stream, DeviceBuffer& scratch) : stream_(stream), scratch_(scratch) {}

  void add(MaskRange range) {
    constexpr std::uint64_t kKeys = std::uint64_t{1} << kMaskBits;
    const std::uint64_t keys = std::uint64_t{1} << range.count;
    const bool fits =
        !ranges_.full() && keys_ + keys <= kKeys && entries_ + range.ld <= std::numeric_limits<std::int32_t>::max();
    if (!fits) sort_all();
    range.first_key = static_cast<std::uint32_t>(keys_);
    range.first_entry = static_cast<std::int32_t>(entries_);
    keys_ += keys;
    entries_ += range.rows;
    ranges_.add(range, range.ld / kColumns);
  }

  void sort_all() {
    if (ranges_.count == 0) return;
    const int bits = std::max(1, static_cast<int>(std::bit_width(keys_ - 1)));
    Slices slices;
    const std::int64_t temp = slices.add<std::byte>(sort_bytes(SortKind::masks_with_rows, entries_, bits));
    const std::int64_t keys_at = slices.add<std::uint32_t>(entries_), index_at = slices.add<std::int32_t>(entries_);
    const std::int64_t sorted_at = slices.add<std::uint32_t>(entries_), order_at = slices.add<std::int32_t>(entries_);
    slices.reserve(scratch_);
    auto *keys = slices.at<std::uint32_t>(keys_at), *sorted = slices.at<std::uint32_t>(sorted_at);
    auto *index = slices.at<std::int32_t>(index_at), *order = slices.at<std::int32_t>(order_at);
    make_masks(ranges_, stream_, keys, index);
    sort(keys, index, entries_, bits, slices.at<std::byte>(temp), stream_, sorted, order);
    apply_order(ranges_, sorted, order, stream_);
    ranges_.clear();
    keys_ = 0;
    entries_ = 0;
  }

 private:
  Stream stream_;
  DeviceBuffer& scratch_;
  Batch<MaskRange> ranges_;
  std::uint64_t keys_ = 0;  ///< of all ranges
  std::int64_t entries_ = 0;
};

template <class T>
T* reserve_table(DeviceBuffer& buffer, std::int64_t rows, std::int64_t cols) {
  return buffer.reserve_for<T>(std::max<std::int64_t>(rows * cols, 1));
}

void add_ranges(DeviceMap& map, int splits, MaskSort& sort) {
  map.splits = std::max({splits, 1, (map.volume + kMaskBits - 1) / kMaskBits});
  auto* sorted = reserve_table<std::int32_t>(map.sorted, map.volume, map.ld);
  auto* order = reserve_table<std::int32_t>(map.order, map.splits, map.ld);
  const std::int64_t mask_columns = map.ld / MapView::kMaskRows;
  auto* masks = reserve_table<std::uint32_t>(map.masks, map.splits, mask_columns);
  if (map.ld == 0) return;
  const MapView view = map.by_mask();
  for (int s = 0; s < map.splits; ++s) {
    MaskRange range;
    range.in_row = map.in_row.as<std::int32_t>() + view.first(s) * map.ld;
    range.sorted_in_row = sorted + view.first(s) * map.ld;
    range.order = order + s * map.ld;
    range.masks = masks + s * mask_columns;
    range.ld = map.ld;
    range.rows = static_cast<std::int32_t>(map.out_rows);
    range.count = view.first(s + 1) - view.first(s);
    sort.add(range);
  }
}

/// Splits of maps of more than so many rows. Measured on an H200 with the layers of MinkUNet 1.0x (bench/cuda: 27
/// offsets, 5925 to 91767 rows): more splits waste fewer products and cost a pass over the sums.
struct SplitRule {
  std::int64_t more_rows_than;
  int splits;
};
constexpr SplitRule kSplitRules[] = {{50'000, 1}, {20'000, 2}, {-1, 3}};
/// Maps of so few offsets (strided ones) are not cut.
constexpr std::int64_t kUncutVolume = 8;

}  // namespace

int default_splits(std::int64_t out_rows, std::int64_t volume) {
  const auto least = static_cast<int>((volume + kMaskBits - 1) / kMaskBits);
  if (volume <= kUncutVolume) return least;
  const auto* rule = std::find_if(std::begin(kSplitRules), std::end(kSplitRules),
                                  [&](const SplitRule& r) { return out_rows > r.more_rows_than; });
  return std::max(rule->splits, least);
}

void sort_maps(std::span<DeviceMap* const> maps, std::span<const int> splits, Stream stream, DeviceBuffer& scratch) {
  RAREFY_CHECK(maps.size() == splits.size(), UsageError, "{} maps and {} numbers of splits: expected one for each map",
               maps.size(), splits.size());
  MaskSort sort(stream, scratch);
  for (std::size_t m = 0; m < maps.size(); ++m) add_ranges(*maps[m], splits[m], sort);
  sort.sort_all();
}

void sort_map(DeviceMap& map, int splits, Stream stream) {
  DeviceMap* const maps[] = {&map};
  sort_maps(maps, {&splits, 1}, stream, map.scratch);
}

}  // namespace rarefy::cuda
