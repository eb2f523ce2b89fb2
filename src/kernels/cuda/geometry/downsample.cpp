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

using namespace geometry;  // NOLINT(google-build-using-namespace): its own part

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
  const int bits = key_bits(key_layout(in.dims), in.batches);
  Slices slices;
  const std::int64_t temp = slices.add<std::byte>(sort_bytes(SortKind::sites, capacity, bits));
  const std::int64_t tile_counts = slices.add<std::int32_t>(tiles_of(capacity));
  const std::int64_t sorted_at = slices.add<std::uint64_t>(capacity);
  slices.reserve(out.scratch);
  auto* keys = out.unsorted.reserve_for<std::uint64_t>(std::max<std::int64_t>(capacity, 1));
  auto* sorted = slices.at<std::uint64_t>(sorted_at);
  auto* count = out.count.as<std::int32_t>();
  fill_bytes(count, 0, 2 * sizeof(std::int32_t), stream);
  emit(Emitted{.keys = keys, .bad = count + 1});
  sort(keys, capacity, bits, slices.at<std::byte>(temp), stream, sorted);
  finish({.keys = sorted, .size = capacity}, slices.at<std::int32_t>(tile_counts), stream, out);
}

/// The same where all outputs lie on a bounded grid: `emit` marks its cells.
template <class Emit>
void make_on_grid(const Sites& in, const Extent& stride, BitGrid grid, std::int64_t capacity, Stream stream, Emit emit,
                  Sites& out) {
  start(in.dims, stride, in.batches, capacity, out);
  const std::int64_t words = grid.word_count();
  Slices slices;
  const std::int64_t tile_counts = slices.add<std::int32_t>(tiles_of(grid));
  const std::int64_t words_at = slices.add<std::uint32_t>(words);
  slices.reserve(out.scratch);
  grid.words = slices.at<std::uint32_t>(words_at);
  auto* count = out.count.as<std::int32_t>();
  fill_bytes(count, 0, 2 * sizeof(std::int32_t), stream);
  fill_bytes(grid.words, 0, words * BitGrid::kWordBits / 8, stream);
  emit(Emitted{.grid = grid, .bad = count + 1});
  count_cells(grid, stream, slices.at<std::int32_t>(tile_counts));
  write_cells(grid, key_layout(in.dims), slices.at<std::int32_t>(tile_counts), capacity, stream,
              out.keys.as<std::uint64_t>(), count);
}

/// Where the outputs of the padded rule end, in units of the finest voxel; 0: nowhere. Positions end before 2^31.
Extent ends_of(const KernelShape& kernel, const Extent& stride) {
  Extent end{};
  for (int a = 0; a < kernel.dims; ++a)
    end[a] = static_cast<std::int32_t>(
        std::min<std::int64_t>(std::int64_t{stride[a]} * kernel.cells[a], std::numeric_limits<std::int32_t>::max()));
  return end;
}

/// The grid that the kernel's `cells` bound. @return of size 0 when an axis has no end or it has too many cells
BitGrid grid_of(const Sites& in, const KernelShape& kernel, const Extent& stride) {
  const std::int64_t limit = key_layout(in.dims).limit;
  BitGrid grid;
  grid.size = std::max<std::int64_t>(in.batches, 1);
  for (int a = 0; a < in.dims; ++a) {
    grid.cells[a] = kernel.cells[a];
    grid.stride[a] = stride[a];
    const bool bounded = kernel.cells[a] > 0 && std::int64_t{stride[a]} * kernel.cells[a] <= limit;
    if (!bounded || grid.size > BitGrid::kMostCells / kernel.cells[a]) return {};
    grid.size *= kernel.cells[a];
  }
  return grid;
}

PaddedBox padded_box(const KernelShape& kernel, const Extent& in_stride, const Extent& stride) {
  const Extent end = ends_of(kernel, stride);
  PaddedBox box;
  for (int a = 0; a < kernel.dims; ++a) {
    PaddedAxis& axis = box.axis[a];
    axis.size = kernel.size[a];
    axis.dilation = kernel.dilation[a];
    axis.padding = kernel.padding[a];
    axis.in_stride = in_stride[a];
    axis.stride = stride[a];
    axis.end = end[a];
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

/// Of one input, at most, under the padded rule.
std::int64_t outputs_of(const KernelShape& kernel) {
  return kernel.offsets.empty() ? padded_box(kernel, {}, {}).outputs : kernel.volume();
}

}  // namespace

std::int64_t downsampled_capacity(const Sites& in, const KernelShape& kernel) {
  const Extent stride = downsampled_stride(shape_of(in), kernel);
  const std::int64_t rows = most_rows(in);
  if (kernel.rule == CoordinateRule::block) return rows;
  const std::int64_t outputs = rows * outputs_of(kernel);
  const BitGrid grid = grid_of(in, kernel, stride);
  return grid.size > 0 ? std::min(outputs, grid.size) : outputs;
}

std::int64_t generated_capacity(const Sites& in, const KernelShape& kernel) { return most_rows(in) * kernel.volume(); }

void downsample(const Sites& in, const KernelShape& kernel, Stream stream, Sites& out) {
  RAREFY_ASSERT(&in != &out);
  const Extent stride = downsampled_stride(shape_of(in), kernel);
  const SiteInput input = input_of(in);
  const KeyLayout layout = key_layout(in.dims);
  if (kernel.rule == CoordinateRule::block) {
    const BitPlan plan = plan_bits(layout, in.stride, stride);
    if (plan.possible) {
      start(in.dims, stride, in.batches, input.most_rows, out);
      return downsample_by_bits(in, plan, stream, out);
    }
    const auto emit = [&](const Emitted& to) { emit_floored(input, layout, stride, stream, to); };
    return make_by_sort(in, stride, 1, stream, emit, out);
  }
  const PaddedBox box = padded_box(kernel, in.stride, stride);
  const auto emit = [&](const Emitted& to) {
    if (kernel.offsets.empty()) return emit_padded(input, layout, box, stream, to);
    emit_listed(input, layout, Direction::gather, offsets_of(kernel, in.stride), stride, ends_of(kernel, stride),
                stream, to);
  };
  const BitGrid grid = grid_of(in, kernel, stride);
  if (grid.size > 0) return make_on_grid(in, stride, grid, downsampled_capacity(in, kernel), stream, emit, out);
  make_by_sort(in, stride, outputs_of(kernel), stream, emit, out);
}

void generate(const Sites& in, const KernelShape& kernel, Stream stream, Sites& out) {
  RAREFY_ASSERT(&in != &out);
  const Extent stride = generated_stride(shape_of(in), kernel);
  const std::vector<Extent> offsets = offsets_of(kernel, stride);
  const auto emit = [&](const Emitted& to) {
    emit_listed(input_of(in), key_layout(in.dims), Direction::spread, offsets, {}, {}, stream, to);
  };
  make_by_sort(in, stride, kernel.volume(), stream, emit, out);
}

}  // namespace rarefy::cuda
