#include <algorithm>

#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/downsample_kernels.h"
#include "kernels/cuda/geometry/search.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = 256;

__device__ std::int64_t thread_index() { return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

__device__ std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/// One axis of a key.
struct Field {
  int shift;
  std::int64_t bias;
  std::uint64_t mask;
  std::int64_t limit;
  __device__ Field(const KeyLayout& layout, int axis)
      : shift((layout.dims - 1 - axis) * layout.axis_bits),
        bias(std::int64_t{1} << (layout.axis_bits - 1)),
        mask((std::uint64_t{1} << layout.axis_bits) - 1),
        limit(layout.limit) {}
  __device__ std::int64_t position(std::uint64_t key) const {
    return static_cast<std::int64_t>(key >> shift & mask) - bias;
  }
  __device__ bool valid(std::int64_t position) const { return position >= -limit && position < limit; }
  __device__ std::uint64_t moved(std::uint64_t key, std::int64_t from, std::int64_t to) const {
    return key + (static_cast<std::uint64_t>(to - from) << shift);
  }
};

__global__ void __launch_bounds__(kThreads)
    merge_bit_kernel(SiteInput in, std::uint64_t mask, int bit_number, std::uint64_t* keys) {
  const std::int64_t thread = thread_index();
  const std::int32_t count = *in.count;
  if (thread >= count) return;
  const auto i = static_cast<std::int32_t>(thread);
  const std::uint64_t key = in.keys[i] & mask, bit = std::uint64_t{1} << bit_number;
  const std::uint64_t cleared = key & ~bit;
  // Where the keys with the bit begin, among those that agree above it.
  const std::uint64_t border = (key & ~(bit - 1)) | bit;
  const std::int32_t middle = lower_bound_near(in.keys, mask, count, i, border);
  std::int32_t to = 0;
  if ((key & bit) == 0)  // of equal keys, those without the bit come first
    to = i + lower_bound_near(in.keys, mask, count, middle, key | bit) - middle;
  else
    to = i - middle + lower_bound_near(in.keys, mask, count, middle, cleared + 1);
  keys[to] = cleared;
}

__global__ void __launch_bounds__(kThreads)
    emit_floored_kernel(SiteInput in, KeyLayout layout, Extent stride, Emitted out) {
  const std::int64_t i = thread_index();
  if (i >= in.most_rows) return;
  if (i >= *in.count) {
    out.keys[i] = kNone;
    return;
  }
  std::uint64_t key = in.keys[i];
  bool valid = true;
  for (int a = 0; a < layout.dims; ++a) {
    const Field field(layout, a);
    const std::int64_t position = field.position(key), to = floor_div(position, stride[a]) * stride[a];
    valid = valid && field.valid(to);
    key = field.moved(key, position, to);
  }
  if (!valid) atomicAdd(out.bad, 1);
  out.keys[i] = valid ? key : kNone;
}

/// Position of output number `n` (of `axis.most`) of a site along an axis. @return whether there is one
__device__ bool padded_output(const PaddedAxis& axis, std::int64_t position, int n, std::int64_t& site) {
  for (std::int32_t s = 0; s < axis.size; ++s) {
    const std::int64_t offset = std::int64_t{s} * axis.dilation - axis.padding;
    site = position - offset * axis.in_stride;
    const bool inside = axis.end == 0 || (site >= 0 && site < axis.end);
    if (site % axis.stride == 0 && inside && n-- == 0) return true;
  }
  return false;
}

/// Whether outputs leave the range, as the CPU sees it: axes from the last to the first, up to one without outputs.
__device__ bool leaves_range(const KeyLayout& layout, const PaddedBox& box, std::uint64_t key) {
  for (int a = layout.dims - 1; a >= 0; --a) {
    const Field field(layout, a);
    const std::int64_t position = field.position(key);
    int n = 0;
    for (std::int64_t site = 0; padded_output(box.axis[a], position, n, site); ++n)
      if (!field.valid(site)) return true;
    if (n == 0) return false;
  }
  return false;
}

__global__ void __launch_bounds__(kThreads)
    emit_padded_kernel(SiteInput in, KeyLayout layout, const __grid_constant__ PaddedBox box, Emitted out) {
  const std::int64_t entry = thread_index(), row = entry / box.outputs;
  if (row >= in.most_rows) return;
  if (row >= *in.count) {
    out.keys[entry] = kNone;
    return;
  }
  auto rest = static_cast<std::int32_t>(entry % box.outputs);
  std::uint64_t key = in.keys[row];
  if (rest == 0 && leaves_range(layout, box, key)) atomicAdd(out.bad, 1);
  bool exists = true;
  for (int a = layout.dims - 1; a >= 0 && exists; --a) {
    const Field field(layout, a);
    const std::int64_t position = field.position(key);
    std::int64_t site = 0;
    exists = padded_output(box.axis[a], position, rest % box.axis[a].most, site) && field.valid(site);
    rest /= box.axis[a].most;
    if (exists) key = field.moved(key, position, site);
  }
  out.keys[entry] = exists ? key : kNone;
}

struct OffsetPart {
  static constexpr int kMost = 64;
  Extent offset[kMost];
  int count = 0;
  std::int64_t first = 0;  ///< number of the first of them in the whole list
  std::int64_t total = 0;
  std::int64_t stride[kMaxDims] = {};
  std::int64_t end[kMaxDims] = {};
};

template <Direction kDirection>
__global__ void __launch_bounds__(kThreads)
    emit_listed_kernel(SiteInput in, KeyLayout layout, const __grid_constant__ OffsetPart part, Emitted out) {
  const std::int64_t entry = thread_index(), row = entry / part.count;
  if (row >= in.most_rows) return;
  const auto k = static_cast<int>(entry % part.count);
  std::uint64_t& result = out.keys[row * part.total + part.first + k];
  if (row >= *in.count) {
    result = kNone;
    return;
  }
  const std::uint64_t key = in.keys[row];
  std::uint64_t moved = key;
  bool meets = true, valid = true;
  for (int a = 0; a < layout.dims && meets; ++a) {
    const Field field(layout, a);
    const std::int64_t position = field.position(key);
    const std::int64_t offset = kDirection == Direction::spread ? part.offset[k][a] : -std::int64_t{part.offset[k][a]};
    const std::int64_t site = position + offset;
    const bool inside = part.end[a] == 0 || (site >= 0 && site < part.end[a]);
    meets = kDirection == Direction::spread || (site % part.stride[a] == 0 && inside);
    if (!meets) break;
    valid = valid && field.valid(site);
    moved = field.moved(moved, position, site);
  }
  if (!valid) atomicAdd(out.bad, 1);
  result = meets && valid ? moved : kNone;
}

}  // namespace

void merge_bit(const SiteInput& in, std::uint64_t mask, int bit, Stream stream, std::uint64_t* keys) {
  merge_bit_kernel<<<blocks_for(in.most_rows, kThreads), kThreads, 0, stream>>>(in, mask, bit, keys);
  check_launch("merging sites");
}

void emit_floored(const SiteInput& in, const KeyLayout& layout, const Extent& stride, Stream stream,
                  const Emitted& out) {
  emit_floored_kernel<<<blocks_for(in.most_rows, kThreads), kThreads, 0, stream>>>(in, layout, stride, out);
  check_launch("rounding sites down");
}

void emit_padded(const SiteInput& in, const KeyLayout& layout, const PaddedBox& box, Stream stream,
                 const Emitted& out) {
  emit_padded_kernel<<<blocks_for(in.most_rows * box.outputs, kThreads), kThreads, 0, stream>>>(in, layout, box, out);
  check_launch("listing the sites of a padded kernel");
}

void emit_listed(const SiteInput& in, const KeyLayout& layout, Direction direction, std::span<const Extent> offsets,
                 const std::int64_t* stride, const std::int64_t* end, Stream stream, const Emitted& out) {
  const auto total = static_cast<std::int64_t>(offsets.size());
  for (std::int64_t first = 0; first < total; first += OffsetPart::kMost) {
    OffsetPart part;
    part.count = static_cast<int>(std::min<std::int64_t>(OffsetPart::kMost, total - first));
    part.first = first;
    part.total = total;
    std::copy_n(offsets.begin() + first, part.count, part.offset);
    std::copy_n(stride, kMaxDims, part.stride);
    std::copy_n(end, kMaxDims, part.end);
    const auto kernel =
        direction == Direction::spread ? emit_listed_kernel<Direction::spread> : emit_listed_kernel<Direction::gather>;
    kernel<<<blocks_for(in.most_rows * part.count, kThreads), kThreads, 0, stream>>>(in, layout, part, out);
    check_launch("listing the sites of a kernel");
  }
}

}  // namespace rarefy::cuda::geometry
