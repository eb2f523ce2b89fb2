#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/search.h"
#include "kernels/cuda/maps/map_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = 128;  // divides ld: no column is beyond the table
static_assert(2 * Runs::kMost <= kThreads);

/// One thread per output row, all runs. The sites that a block looks for under one run are as sorted as its rows: two
/// searches over all keys, of the first and the last row, leave a short range for the others (Yang et al., Minuet,
/// EuroSys 2024, section 5: searches bounded by those of a block's ends). Neighbours along the last axis follow each
/// other in the keys (Spira).
template <int kLength>
__global__ void __launch_bounds__(kThreads)
    find_rows_kernel(MapInput input, const __grid_constant__ Runs runs, std::int32_t* __restrict__ in_row,
                     unsigned long long* pairs) {
  __shared__ std::int32_t bounds[2 * Runs::kMost];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kThreads, column = first + threadIdx.x;
  const std::int64_t last = first + kThreads < input.out_rows ? first + kThreads - 1 : input.out_rows - 1;
  const auto t = static_cast<int>(threadIdx.x);
  if (first < input.out_rows && t < 2 * runs.count)
    bounds[t] =
        lower_bound(input.in_keys, 0, input.in_rows, input.out_keys[t % 2 == 0 ? first : last] + runs.delta[t / 2]);
  __syncthreads();
  const bool exists = column < input.out_rows;
  const std::uint64_t key = exists ? input.out_keys[column] : 0;
  const int length = kLength > 0 ? kLength : runs.length;
  std::int32_t* entry = in_row + runs.first_offset * input.ld + column;
  int found = 0;
  for (int r = 0; r < runs.count; ++r) {
    std::uint64_t wanted = key + runs.delta[r];
    std::int32_t row = input.in_rows;
    if (exists) row = lower_bound(input.in_keys, bounds[2 * r], bounds[2 * r + 1], wanted);
    for (int s = 0; s < length; ++s, entry += input.ld) {
      const bool hit = row < input.in_rows && __ldg(input.in_keys + row) == wanted;
      *entry = hit ? row : -1;
      row += hit;
      found += hit;
      wanted += runs.step;
    }
  }
  found = __reduce_add_sync(~0U, found);
  if (threadIdx.x % 32 == 0 && found > 0) atomicAdd(pairs, static_cast<unsigned long long>(found));
}

__global__ void __launch_bounds__(kThreads)
    scatter_rows_kernel(const std::int32_t* in_row, std::int64_t out_rows, std::int64_t ld, std::int64_t out_ld,
                        std::int32_t* out) {
  const std::int64_t o = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (o >= out_rows) return;
  const std::int64_t k = blockIdx.y;
  const std::int32_t i = in_row[k * ld + o];
  if (i >= 0) out[k * out_ld + i] = static_cast<std::int32_t>(o);
}

}  // namespace

void find_rows(const MapInput& input, const Runs& runs, Stream stream, std::int32_t* in_row, std::int64_t* pairs) {
  const auto kernel = runs.length == 1   ? find_rows_kernel<1>
                      : runs.length == 2 ? find_rows_kernel<2>
                      : runs.length == 3 ? find_rows_kernel<3>
                                         : find_rows_kernel<0>;
  kernel<<<blocks_for(input.ld, kThreads), kThreads, 0, stream>>>(input, runs, in_row,
                                                                  reinterpret_cast<unsigned long long*>(pairs));
  check_launch("building a kernel map");
}

void scatter_rows(const std::int32_t* in_row, std::int64_t out_rows, std::int64_t ld, int volume, std::int64_t out_ld,
                  Stream stream, std::int32_t* out) {
  const dim3 blocks(blocks_for(out_rows, kThreads), static_cast<unsigned>(volume));
  scatter_rows_kernel<<<blocks, kThreads, 0, stream>>>(in_row, out_rows, ld, out_ld, out);
  check_launch("transposing a kernel map");
}

}  // namespace rarefy::cuda::geometry
