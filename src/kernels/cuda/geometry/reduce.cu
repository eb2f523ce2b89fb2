#include "kernels/cuda/error.h"
#include "kernels/cuda/geometry/reduce_kernels.h"

namespace rarefy::cuda::geometry {
namespace {

constexpr int kThreads = 256;

/// Whether `x` replaces `best` as the maximum: NaN wins and stays, ties keep the first.
__device__ bool wins(float x, float best) { return x > best || (isnan(x) && !isnan(best)); }

/// One thread per voxel and column; points in input order, so that sums have the CPU's bits.
template <Reduce kReduction>
__global__ void __launch_bounds__(kThreads) reduce_kernel(ReduceJob job) {
  const std::int64_t entry = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t voxel = entry / job.cols, col = entry % job.cols;
  if (voxel >= job.most_rows || voxel >= *job.count) return;
  const std::int32_t begin = job.point_begin[voxel], end = job.point_begin[voxel + 1];
  float result = 0.0f;
  if (begin < end) result = job.x[job.point_order[begin] * job.x_stride + col];
  if constexpr (kReduction != Reduce::first) {
    for (std::int32_t i = begin + 1; i < end; ++i) {
      const float value = job.x[job.point_order[i] * job.x_stride + col];
      if constexpr (kReduction == Reduce::mean)
        result = __fadd_rn(result, value);
      else
        result = wins(value, result) ? value : result;
    }
    if (kReduction == Reduce::mean && end - begin > 1) result = __fdiv_rn(result, static_cast<float>(end - begin));
  }
  job.y[voxel * job.y_stride + col] = result;
}

}  // namespace

void reduce(const ReduceJob& job, Reduce reduction, Stream stream) {
  if (job.most_rows == 0 || job.cols == 0) return;
  const unsigned blocks = blocks_for(job.most_rows * job.cols, kThreads);
  switch (reduction) {
    case Reduce::first:
      reduce_kernel<Reduce::first><<<blocks, kThreads, 0, stream>>>(job);
      break;
    case Reduce::mean:
      reduce_kernel<Reduce::mean><<<blocks, kThreads, 0, stream>>>(job);
      break;
    case Reduce::max:
      reduce_kernel<Reduce::max><<<blocks, kThreads, 0, stream>>>(job);
      break;
  }
  check_launch("reducing points to voxels");
}

}  // namespace rarefy::cuda::geometry
