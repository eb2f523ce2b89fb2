#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/search.h"
#include "kernels/cuda/maps/batch_block.h"
#include "kernels/cuda/maps/map_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = kColumns;
static_assert(2 * MapPart::kMostRuns <= kThreads);

/// One thread per output row, all runs. The sites that a block looks for under one run are as sorted as its rows: two
/// searches over all keys, of the first and the last row, leave a short range for the others (Yang et al., Minuet,
/// EuroSys 2024, section 5: searches bounded by those of a block's ends). Neighbours along the last axis follow each
/// other in the keys (Spira).
template <int kLength>
__device__ void find_rows_of(const MapPart& part, const std::int32_t* bounds, std::int64_t column) {
  const std::uint64_t* __restrict__ in_keys = part.in_keys;
  const bool exists = column < part.out_rows;
  const std::uint64_t key = exists ? part.out_keys[column] : 0;
  const int length = kLength > 0 ? kLength : part.length;
  std::int32_t* __restrict__ entry = part.in_row + column;
  int found = 0;
  for (int r = 0; r < part.runs; ++r) {
    std::uint64_t wanted = key + part.delta[r];
    std::int32_t row = part.in_rows;
    if (exists) row = lower_bound(in_keys, bounds[2 * r], bounds[2 * r + 1], wanted);
    for (int s = 0; s < length; ++s, entry += part.ld) {
      const bool hit = row < part.in_rows && __ldg(in_keys + row) == wanted;
      *entry = hit ? row : -1;
      row += hit;
      found += hit;
      wanted += part.step;
    }
  }
  found = __reduce_add_sync(~0U, found);
  if (threadIdx.x % 32 == 0 && found > 0)
    atomicAdd(reinterpret_cast<unsigned long long*>(part.pairs), static_cast<unsigned long long>(found));
}

__global__ void __launch_bounds__(kThreads) find_rows_kernel(const __grid_constant__ Batch<MapPart> parts) {
  __shared__ std::int32_t bounds[2 * MapPart::kMostRuns];
  const MapPart& part = part_of_block(parts);
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) - part.first_block) * kThreads;
  const std::int64_t last = first + kThreads < part.out_rows ? first + kThreads - 1 : part.out_rows - 1;
  const auto t = static_cast<int>(threadIdx.x);
  if (first < part.out_rows && t < 2 * part.runs)
    bounds[t] =
        lower_bound(part.in_keys, 0, part.in_rows, part.out_keys[t % 2 == 0 ? first : last] + part.delta[t / 2]);
  __syncthreads();
  const std::int64_t column = first + threadIdx.x;
  if (part.length == 1)
    find_rows_of<1>(part, bounds, column);
  else if (part.length == 2)
    find_rows_of<2>(part, bounds, column);
  else if (part.length == 3)
    find_rows_of<3>(part, bounds, column);
  else
    find_rows_of<0>(part, bounds, column);
}

__global__ void __launch_bounds__(Counters::kMost) clear_counters_kernel(const __grid_constant__ Counters counters) {
  if (static_cast<int>(threadIdx.x) < counters.count) *counters.counter[threadIdx.x] = 0;
}

__global__ void __launch_bounds__(Counters::kMost)
    gather_counters_kernel(const __grid_constant__ Counters counters, std::int64_t* host) {
  if (static_cast<int>(threadIdx.x) < counters.count) host[threadIdx.x] = *counters.counter[threadIdx.x];
}

constexpr int kFilled = 4;  ///< entries that a thread fills: one wide store

__global__ void __launch_bounds__(kThreads) fill_transposed_kernel(const __grid_constant__ Batch<Transposition> parts) {
  const Transposition& t = part_of_block(parts);
  const std::int64_t thread = (static_cast<std::int64_t>(blockIdx.x) - t.first_block) * kThreads + threadIdx.x;
  if (thread == 0) *t.to_pairs = *t.from_pairs;
  if (thread * kFilled < t.volume * t.to_ld) reinterpret_cast<int4*>(t.to)[thread] = make_int4(-1, -1, -1, -1);
}

__global__ void __launch_bounds__(kThreads) scatter_rows_kernel(const __grid_constant__ Batch<Transposition> parts) {
  const Transposition& t = part_of_block(parts);
  const std::int32_t blocks = (t.from_rows + kThreads - 1) / kThreads;
  const std::int32_t block = static_cast<std::int32_t>(blockIdx.x) - t.first_block, k = block / blocks;
  const std::int32_t o = block % blocks * kThreads + static_cast<std::int32_t>(threadIdx.x);
  if (o >= t.from_rows) return;
  const std::int32_t i = t.from[k * t.from_ld + o];
  if (i >= 0) t.to[k * t.to_ld + i] = o;
}

}  // namespace

void find_rows(const Batch<MapPart>& parts, Stream stream) {
  find_rows_kernel<<<static_cast<unsigned>(parts.blocks), kThreads, 0, stream>>>(parts);
  check_launch("building kernel maps");
}

void clear_counters(const Counters& counters, Stream stream) {
  clear_counters_kernel<<<1, Counters::kMost, 0, stream>>>(counters);
  check_launch("clearing the counters of kernel maps");
}

void gather_counters(const Counters& counters, Stream stream, std::int64_t* host) {
  gather_counters_kernel<<<1, Counters::kMost, 0, stream>>>(counters, host);
  check_launch("reading the counters of kernel maps");
}

std::int64_t fill_blocks(const Transposition& t) { return blocks_for(t.volume * t.to_ld, kFilled * kThreads); }

std::int64_t scatter_blocks(const Transposition& t) {
  return t.from_rows == 0 ? 0 : std::int64_t{t.volume} * blocks_for(t.from_rows, kThreads);
}

void fill_transposed(const Batch<Transposition>& parts, Stream stream) {
  fill_transposed_kernel<<<static_cast<unsigned>(parts.blocks), kThreads, 0, stream>>>(parts);
  check_launch("clearing transposed kernel maps");
}

void scatter_rows(const Batch<Transposition>& parts, Stream stream) {
  if (parts.blocks == 0) return;
  scatter_rows_kernel<<<static_cast<unsigned>(parts.blocks), kThreads, 0, stream>>>(parts);
  check_launch("transposing kernel maps");
}

}  // namespace rarefy::cuda::geometry
