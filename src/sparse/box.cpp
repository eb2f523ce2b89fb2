#include "sparse/box.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "sparse/key_sort.h"

namespace rarefy {
namespace {

constexpr std::int64_t kPartRows = 1024;

std::int64_t product(const Extent& cells, int first, int last) {
  std::int64_t result = 1;
  for (int a = first; a < last; ++a) result *= cells[static_cast<std::size_t>(a)];
  return result;
}

/// Where a site lies in the dense matrix.
struct Cell {
  std::int64_t row = -1;  ///< -1: outside the box
  std::int64_t depth = 0;
};

Cell cell_of(const KeyLayout& layout, const Box& box, std::uint64_t key) {
  std::int32_t batch = 0, position[kMaxDims] = {};
  unpack_key(layout, key, &batch, position);
  Cell cell;
  std::int64_t row = batch;
  for (int a = 0; a < box.dims; ++a) {
    const auto axis = static_cast<std::size_t>(a);
    const std::int64_t offset = std::int64_t{position[a]} - box.low[axis];
    const std::int64_t at = offset / box.stride[axis];
    if (offset < 0 || at >= box.cells[axis]) return {};
    if (a < box.image_dims)
      row = row * box.cells[axis] + at;
    else
      cell.depth = cell.depth * box.cells[axis] + at;
  }
  cell.row = row;
  return cell;
}

void check_shapes(const Coords& sites, const Box& box, Matrix<const float> x, Matrix<const float> dense) {
  RAREFY_CHECK(
      x.rows == sites.rows() && dense.rows == sites.batches() * box.pixels() && dense.cols == x.cols * box.depth(),
      ShapeError,
      "{} sites of {} samples, features [{}, {}] and a dense [{}, {}] do not fit a box of {} pixels "
      "with {} cells each",
      sites.rows(), sites.batches(), x.rows, x.cols, dense.rows, dense.cols, box.pixels(), box.depth());
}

template <class F>
void for_rows(std::int64_t rows, Executor& executor, F f) {
  executor.parallel_for((rows + kPartRows - 1) / kPartRows, [&](std::int64_t part, int) {
    for (std::int64_t r = part * kPartRows; r < std::min(rows, (part + 1) * kPartRows); ++r) f(r);
  });
}

}  // namespace

std::int64_t Box::pixels() const { return product(cells, 0, image_dims); }
std::int64_t Box::depth() const { return product(cells, image_dims, dims); }

void fill_box(const Box& box, std::int64_t batches, Coords& out) {
  const KeyLayout layout = key_layout(box.image_dims);
  RAREFY_CHECK(batches <= layout.max_batch(), InputError,
               "{} samples exceed the {} that {}-dimensional images can hold", batches, layout.max_batch(),
               box.image_dims);
  std::int64_t rows = batches;
  for (int a = 0; a < box.image_dims; ++a) {
    const auto axis = static_cast<std::size_t>(a);
    const std::int64_t last = box.low[axis] + std::int64_t{box.cells[axis] - 1} * box.stride[axis];
    RAREFY_CHECK(box.low[axis] >= -layout.limit && last < layout.limit, InputError,
                 "a box from {} to {} along {} leaves the range of coordinates, [{}, {})", box.low[axis], last,
                 kAxisName[a], -layout.limit, layout.limit);
    rows *= box.cells[axis];
    RAREFY_CHECK(rows <= std::numeric_limits<std::int32_t>::max(), InputError,
                 "the box has more sites than row indices can number (2^31 - 1): choose a smaller one, or a larger "
                 "stride");
  }
  out.dims = box.image_dims;
  out.stride = box.stride;
  out.keys.clear();
  for (std::int64_t b = 0; b < batches && rows > 0; ++b) {
    std::int32_t position[kMaxDims];
    std::copy_n(box.low.begin(), kMaxDims, position);
    for (std::int64_t p = 0; p < box.pixels(); ++p) {
      out.keys.push_back(pack_key(layout, b, position));
      for (int a = box.image_dims - 1; a >= 0; --a) {  // the next site: an axis that overflows carries
        const auto axis = static_cast<std::size_t>(a);
        position[a] += box.stride[axis];
        if (position[a] - box.low[axis] < std::int64_t{box.cells[axis]} * box.stride[axis]) break;
        position[a] = box.low[axis];
      }
    }
  }
  set_batches(layout, batches, out);
}

void to_dense(const Coords& sites, const Box& box, Matrix<const float> x, Executor& executor, Matrix<float> dense) {
  check_shapes(sites, box, x, dense);
  const KeyLayout layout = key_layout(sites.dims);
  const std::int64_t depth = box.depth();
  for_rows(dense.rows, executor, [&](std::int64_t r) { std::fill_n(dense.row(r), dense.cols, 0.0f); });
  for_rows(x.rows, executor, [&](std::int64_t r) {  // no two sites share a cell
    const Cell cell = cell_of(layout, box, sites.keys[static_cast<std::size_t>(r)]);
    if (cell.row < 0) return;
    float* to = dense.row(cell.row) + cell.depth;
    for (std::int64_t c = 0; c < x.cols; ++c) to[c * depth] = x(r, c);
  });
}

void from_dense(const Coords& sites, const Box& box, Matrix<const float> dense, Executor& executor, Matrix<float> x) {
  check_shapes(sites, box, x, dense);
  const KeyLayout layout = key_layout(sites.dims);
  const std::int64_t depth = box.depth();
  for_rows(x.rows, executor, [&](std::int64_t r) {
    const Cell cell = cell_of(layout, box, sites.keys[static_cast<std::size_t>(r)]);
    if (cell.row < 0) {
      std::fill_n(x.row(r), x.cols, 0.0f);
      return;
    }
    const float* from = dense.row(cell.row) + cell.depth;
    for (std::int64_t c = 0; c < x.cols; ++c) x(r, c) = from[c * depth];
  });
}

}  // namespace rarefy
