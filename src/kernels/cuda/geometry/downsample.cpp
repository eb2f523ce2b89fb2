#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/geometry/downsample_kernels.h"
#include "kernels/cuda/geometry/radix_sort.h"
#include "kernels/cuda/geometry/sites_impl.h"
#include "kernels/cuda/geometry/slices.h"
#include "kernels/cuda/geometry/unique.h"
#include "kernels/cuda/sites.h"

namespace rarefy::cuda {
namespace {

using namespace geometry;

SiteInput input_of(const Sites& in) { return {in.key(), in.count.as<std::int32_t>(), most_rows(in)}; }
SiteShape shape_of(const Sites& in) { return {in.dims, in.stride, most_rows(in)}; }

/// Block rule with strides that are powers of two: rounding down clears bits, and merges of neighbouring lists restore
/// the order. A field's low bits are those of its position, since the bias is a multiple of the guard.
struct BitPlan {
  bool possible = false;
  std::uint64_t mask = ~std::uint64_t{0};  ///< of all bits that are kept
  std::array<int, 64> merges{};            ///< bits to clear one by one; those of the last axis need no merge
  std::size_t merge_count = 0;
};

BitPlan plan_bits(const KeyLayout& layout, const Extent& in_stride, const Extent& out_stride) {
  BitPlan plan;
  for (int a = layout.dims - 1; a >= 0; --a) {
    if (!std::has_single_bit(static_cast<std::uint32_t>(out_stride[a])) || out_stride[a] > layout.guard) return {};
    const int shift = (layout.dims - 1 - a) * layout.axis_bits;
    const int from = std::countr_zero(static_cast<std::uint32_t>(in_stride[a]));
    const int to = std::countr_zero(static_cast<std::uint32_t>(out_stride[a]));
    plan.mask &= ~((static_cast<std::uint64_t>(out_stride[a]) - 1) << shift);
    for (int bit = from; bit < to && a + 1 < layout.dims; ++bit) plan.merges[plan.merge_count++] = shift + bit;
  }
  plan.possible = true;
  return plan;
}

/// Duplicates are neighbours: keeps one of each. `keys` must not be those of `out`.
void finish(const SortedKeys& keys, std::int32_t* tile_counts, Stream stream, Sites& out) {
  count_heads(keys, stream, tile_counts);
  write_unique(keys, tile_counts, stream, out.keys.as<std::uint64_t>(), out.count.as<std::int32_t>());
}

void downsample_by_bits(const Sites& in, const BitPlan& plan, Stream stream, Sites& out) {
  Slices slices;
  const std::int64_t tile_counts = slices.add<std::int32_t>(tiles_of(out.capacity));
  const std::int64_t second = slices.add<std::uint64_t>(out.capacity);
  slices.reserve(out.scratch);
  std::uint64_t* const buffers[] = {out.unsorted.reserve_for<std::uint64_t>(std::max<std::int64_t>(out.capacity, 1)),
                                    slices.at<std::uint64_t>(second)};
  fill_bytes(out.count.data(), 0, 2 * sizeof(std::int32_t), stream);
  SiteInput from = input_of(in);
  // Lower axes are rounded from the start, higher ones once their bits have been merged.
  std::uint64_t mask = plan.mask;
  for (std::size_t m = 0; m < plan.merge_count; ++m) mask |= std::uint64_t{1} << plan.merges[m];
  for (std::size_t m = 0; m < plan.merge_count; ++m) {
    merge_bit(from, mask, plan.merges[m], stream, buffers[m % 2]);
    mask &= ~(std::uint64_t{1} << plan.merges[m]);
    from.keys = buffers[m % 2];
  }
  finish({from.keys, plan.mask, from.count, out.capacity}, slices.at<std::int32_t>(tile_counts), stream, out);
}

/// Any rule: `emit` lists keys in any order and with duplicates (all ones: none), `outputs` of each input.
template <class Emit>
void make_by_sort(const Sites& in, const Extent& stride, std::int64_t outputs, Stream stream, Emit emit, Sites& out) {
  const std::int64_t rows = most_rows(in), capacity = rows * outputs;
  RAREFY_CHECK(capacity <= std::numeric_limits<std::int32_t>::max(), ShapeError,
               "{} sites with up to {} outputs each exceed the range of row indices (2^31 - 1)", rows, outputs);
  start(in.dims, stride, in.batches, capacity, out);
  const KeyLayout layout = key_layout(in.dims);
  const int bits = key_bits(layout, in.batches);
  Slices slices;
  const std::int64_t temp = slices.add<std::byte>(sort_bytes(SortKind::sites, capacity, bits));
  const std::int64_t tile_counts = slices.add<std::int32_t>(tiles_of(capacity));
  const std::int64_t sorted_at = slices.add<std::uint64_t>(capacity);
  slices.reserve(out.scratch);
  auto* keys = out.unsorted.reserve_for<std::uint64_t>(std::max<std::int64_t>(capacity, 1));
  auto* sorted = slices.at<std::uint64_t>(sorted_at);
  auto* count = out.count.as<std::int32_t>();
  fill_bytes(count, 0, 2 * sizeof(std::int32_t), stream);
  emit(layout, Emitted{keys, count + 1});
  sort(keys, capacity, bits, slices.at<std::byte>(temp), stream, sorted);
  finish({.keys = sorted, .size = capacity}, slices.at<std::int32_t>(tile_counts), stream, out);
}

PaddedBox padded_box(const KernelShape& kernel, const Extent& in_stride) {
  PaddedBox box;
  for (int a = 0; a < kernel.dims; ++a) {
    PaddedAxis& axis = box.axis[a];
    axis.size = kernel.size[a];
    axis.dilation = kernel.dilation[a];
    axis.padding = kernel.padding[a];
    axis.in_stride = in_stride[a];
    axis.stride = std::int64_t{in_stride[a]} * kernel.stride[a];
    axis.end = axis.stride * kernel.cells[a];
    // Offsets of outputs repeat with this period.
    const std::int32_t period = kernel.stride[a] / std::gcd(kernel.stride[a], kernel.dilation[a]);
    axis.most = (kernel.size[a] + period - 1) / period;
    box.outputs *= axis.most;
  }
  return box;
}

/// In units of the finest voxel.
std::vector<Extent> offsets_of(const KernelShape& kernel, const Extent& unit) {
  std::vector<Extent> offsets(static_cast<std::size_t>(kernel.volume()));
  for (std::size_t k = 0; k < offsets.size(); ++k) {
    offsets[k] = kernel.offset(static_cast<std::int64_t>(k));
    for (int a = 0; a < kernel.dims; ++a) offsets[k][a] *= unit[a];
  }
  return offsets;
}

}  // namespace

void downsample(const Sites& in, const KernelShape& kernel, Stream stream, Sites& out) {
  RAREFY_ASSERT(&in != &out);
  const Extent stride = downsampled_stride(shape_of(in), kernel);
  const SiteInput input = input_of(in);
  if (kernel.rule == CoordinateRule::block) {
    const BitPlan plan = plan_bits(key_layout(in.dims), in.stride, stride);
    if (plan.possible) {
      start(in.dims, stride, in.batches, input.most_rows, out);
      return downsample_by_bits(in, plan, stream, out);
    }
    const auto emit = [&](const KeyLayout& layout, const Emitted& to) {
      emit_floored(input, layout, stride, stream, to);
    };
    return make_by_sort(in, stride, 1, stream, emit, out);
  }
  if (kernel.offsets.empty()) {
    const PaddedBox box = padded_box(kernel, in.stride);
    const auto emit = [&](const KeyLayout& layout, const Emitted& to) { emit_padded(input, layout, box, stream, to); };
    return make_by_sort(in, stride, box.outputs, stream, emit, out);
  }
  std::int64_t wide_stride[kMaxDims] = {1, 1, 1, 1}, end[kMaxDims] = {};
  for (int a = 0; a < in.dims; ++a) {
    wide_stride[a] = stride[a];
    end[a] = wide_stride[a] * kernel.cells[a];
  }
  const std::vector<Extent> offsets = offsets_of(kernel, in.stride);
  const auto emit = [&](const KeyLayout& layout, const Emitted& to) {
    emit_listed(input, layout, Direction::gather, offsets, wide_stride, end, stream, to);
  };
  make_by_sort(in, stride, static_cast<std::int64_t>(offsets.size()), stream, emit, out);
}

void generate(const Sites& in, const KernelShape& kernel, Stream stream, Sites& out) {
  RAREFY_ASSERT(&in != &out);
  const Extent stride = generated_stride(shape_of(in), kernel);
  const std::int64_t any_stride[kMaxDims] = {1, 1, 1, 1}, no_end[kMaxDims] = {};
  const std::vector<Extent> offsets = offsets_of(kernel, stride);
  const auto emit = [&](const KeyLayout& layout, const Emitted& to) {
    emit_listed(input_of(in), layout, Direction::spread, offsets, any_stride, no_end, stream, to);
  };
  make_by_sort(in, stride, static_cast<std::int64_t>(offsets.size()), stream, emit, out);
}

}  // namespace rarefy::cuda
