// Between sparse and dense.
#include "kernels/cuda/element.h"
#include "kernels/cuda/error.h"
#include "kernels/cuda/rows.h"

namespace rarefy::cuda {
namespace {

constexpr int kThreads = 256;

/// What of a box and its keys the kernels need.
struct Cells {
  Box box;
  KeyLayout layout;

  /// Row of the dense matrix and cell along the axes that the image lacks; row -1: outside.
  __device__ std::int64_t find(std::uint64_t key, int& depth) const {
    const std::uint64_t mask = (std::uint64_t{1} << layout.axis_bits) - 1;
    std::int64_t row = static_cast<std::int64_t>(key >> (layout.dims * layout.axis_bits));
    depth = 0;
    for (int a = 0; a < box.dims; ++a) {
      const std::uint64_t field = key >> ((layout.dims - 1 - a) * layout.axis_bits) & mask;
      const std::int64_t offset =
          static_cast<std::int64_t>(field) - (std::int64_t{1} << (layout.axis_bits - 1)) - box.low.data()[a];
      const std::int64_t at = offset / box.stride.data()[a];
      if (offset < 0 || at >= box.cells.data()[a]) return -1;
      if (a < box.image_dims)
        row = row * box.cells.data()[a] + at;
      else
        depth = depth * box.cells.data()[a] + static_cast<int>(at);
    }
    return row;
  }
};

template <class T, bool kToDense>
__global__ void move_kernel(const std::uint64_t* keys, Cells cells, int depths, View<T> x, View<T> dense) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= x.rows * x.cols) return;
  const std::int64_t r = i / x.cols;
  const int c = static_cast<int>(i % x.cols);
  int depth = 0;
  const std::int64_t row = cells.find(keys[r], depth);
  T& sparse = x.data[r * x.stride + c];
  if (row < 0) {
    if (!kToDense) sparse = from_float<T>(0.0f);
    return;
  }
  T& there = dense.data[row * dense.stride + static_cast<std::int64_t>(c) * depths + depth];
  if (kToDense)
    there = sparse;
  else
    sparse = there;
}

template <bool kToDense>
void move_rows(const Sites& sites, const Box& box, const Matrix2d& x, Stream stream, const Matrix2d& dense) {
  if (x.rows == 0 || x.cols == 0) return;
  with_real(x.type, [&](auto t) {
    using T = decltype(t);
    move_kernel<T, kToDense><<<blocks_for(x.rows * x.cols, kThreads), kThreads, 0, stream>>>(
        sites.key(), Cells{box, key_layout(sites.dims)}, static_cast<int>(box.depth()), view<T>(x), view<T>(dense));
    check_launch("move between sparse and dense");
  });
}

}  // namespace

void to_dense(const Sites& sites, const Box& box, const Matrix2d& x, Stream stream, const Matrix2d& dense) {
  fill_bytes(dense.data, 0, dense.rows * dense.stride * size_of(dense.type), stream);
  move_rows<true>(sites, box, x, stream, dense);
}

void from_dense(const Sites& sites, const Box& box, const Matrix2d& dense, Stream stream, const Matrix2d& x) {
  move_rows<false>(sites, box, x, stream, dense);
}

}  // namespace rarefy::cuda
