#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/make_sites_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = 256;

__device__ std::int64_t thread_index() { return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

__global__ void __launch_bounds__(kThreads)
    pack_rows_kernel(const std::int32_t* rows, std::int64_t count, KeyLayout layout, Extent stride,
                     std::int64_t batches, std::uint64_t* keys, std::int32_t* index, RowCheck* check) {
  const std::int64_t r = thread_index();
  if (r >= count) return;
  const std::int32_t* values = rows + r * (layout.dims + 1);
  const std::int64_t bias = std::int64_t{1} << (layout.axis_bits - 1);
  bool valid = values[0] >= 0 && values[0] < batches;
  std::uint64_t key = static_cast<std::uint64_t>(values[0]);
  for (int a = 0; a < layout.dims; ++a) {
    const std::int64_t v = values[1 + a];
    valid = valid && v >= -layout.limit && v < layout.limit && v % stride[a] == 0;
    key = key << layout.axis_bits | static_cast<std::uint64_t>(v + bias);
  }
  keys[r] = valid ? key : 0;
  index[r] = static_cast<std::int32_t>(r);
  if (!valid) atomicOr(&check->wrong, 1);
  if (valid) atomicMax(&check->batches, values[0] + 1);
}

__global__ void __launch_bounds__(kThreads)
    find_duplicates_kernel(const std::uint64_t* sorted, std::int64_t count, RowCheck* check) {
  const std::int64_t i = thread_index();
  if (i > 0 && i < count && sorted[i - 1] == sorted[i]) atomicOr(&check->wrong, 1);
}

}  // namespace

void pack_rows(const std::int32_t* rows, std::int64_t count, const KeyLayout& layout, const Extent& stride,
               std::int64_t batches, Stream stream, std::uint64_t* keys, std::int32_t* index, RowCheck* check) {
  pack_rows_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(rows, count, layout, stride, batches, keys,
                                                                         index, check);
  check_launch("packing coordinates");
}

void find_duplicates(const std::uint64_t* sorted, std::int64_t count, Stream stream, RowCheck* check) {
  find_duplicates_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(sorted, count, check);
  check_launch("looking for equal coordinates");
}

}  // namespace rarefy::cuda::geometry
