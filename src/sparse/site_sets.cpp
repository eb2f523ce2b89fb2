#include "sparse/site_sets.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "sparse/key_sort.h"

namespace rarefy {
namespace {

void check_alike(const Coords& a, const Coords& b, const char* what) {
  RAREFY_CHECK(a.dims == b.dims, ShapeError, "{}: one space has {} dimensions, the other {}", what, a.dims, b.dims);
  for (int axis = 0; axis < a.dims; ++axis)
    RAREFY_CHECK(a.stride[axis] == b.stride[axis], ShapeError,
                 "{}: the strides along {} are {} and {}; bring both to one stride first (a strided or a transposed "
                 "convolution, pooling or unpooling)",
                 what, kAxisName[axis], a.stride[axis], b.stride[axis]);
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  RAREFY_CHECK(a.rows() + b.rows() <= kMost, ShapeError, "{}: {} and {} rows: at most {} can be numbered", what,
               a.rows(), b.rows(), kMost);
}

enum class Keep : std::uint8_t { any, both };

/// One merge of the two sorted lists. Lists are written as if all were kept, so that no step branches on the data.
void join(const Coords& a, const Coords& b, Keep keep, Coords& out, RowIndex& row_of_a, RowIndex& row_of_b) {
  RAREFY_ASSERT(&out != &a && &out != &b);
  const std::size_t rows_a = a.keys.size(), rows_b = b.keys.size();
  out.keys.resize(rows_a + rows_b);
  row_of_a.voxel_of_point.resize(rows_a + rows_b);
  row_of_b.voxel_of_point.resize(rows_a + rows_b);
  std::size_t i = 0, j = 0, n = 0;
  while (i < rows_a && j < rows_b) {
    const std::uint64_t ka = a.keys[i], kb = b.keys[j];
    const bool from_a = ka <= kb, from_b = kb <= ka;
    out.keys[n] = from_a ? ka : kb;
    row_of_a.voxel_of_point[n] = from_a ? static_cast<std::int32_t>(i) : -1;
    row_of_b.voxel_of_point[n] = from_b ? static_cast<std::int32_t>(j) : -1;
    i += from_a;
    j += from_b;
    n += keep == Keep::any || (from_a && from_b);
  }
  const auto rest = [&](const Coords& from, std::size_t next, RowIndex& mine, RowIndex& other) {
    for (; keep == Keep::any && next < from.keys.size(); ++next, ++n) {
      out.keys[n] = from.keys[next];
      mine.voxel_of_point[n] = static_cast<std::int32_t>(next);
      other.voxel_of_point[n] = -1;
    }
  };
  rest(a, i, row_of_a, row_of_b);
  rest(b, j, row_of_b, row_of_a);
  out.keys.resize(n);
  row_of_a.voxel_of_point.resize(n);
  row_of_b.voxel_of_point.resize(n);
  out.dims = a.dims;
  out.stride = a.stride;
  set_batches(key_layout(a.dims), std::max(a.batches(), b.batches()), out);
  invert_index(a.rows(), row_of_a);
  invert_index(b.rows(), row_of_b);
}

}  // namespace

void invert_index(std::int64_t targets, RowIndex& index) {
  index.point_begin.resize(static_cast<std::size_t>(targets) + 1);
  index.point_order.resize(index.voxel_of_point.size());
  std::size_t n = 0;
  std::int64_t next = 0;  // target whose beginning comes next
  for (std::size_t p = 0; p < index.voxel_of_point.size(); ++p) {
    const std::int64_t target = index.voxel_of_point[p];
    if (target < 0) continue;
    RAREFY_ASSERT(target < targets && target + 1 >= next);
    for (; next <= target; ++next) index.point_begin[static_cast<std::size_t>(next)] = static_cast<std::int32_t>(n);
    index.point_order[n++] = static_cast<std::int32_t>(p);
  }
  for (; next <= targets; ++next) index.point_begin[static_cast<std::size_t>(next)] = static_cast<std::int32_t>(n);
  index.point_order.resize(n);
}

void unite(const Coords& a, const Coords& b, Coords& out, RowIndex& row_of_a, RowIndex& row_of_b) {
  check_alike(a, b, "union");
  join(a, b, Keep::any, out, row_of_a, row_of_b);
}

void intersect(const Coords& a, const Coords& b, Coords& out, RowIndex& row_of_a, RowIndex& row_of_b) {
  check_alike(a, b, "intersection");
  join(a, b, Keep::both, out, row_of_a, row_of_b);
}

template <class T>
void select_rows(Matrix<const T> scores, std::span<const std::int64_t> begin, double threshold, std::int64_t leading,
                 RowIndex& kept, RowIndex& place) {
  RAREFY_CHECK(scores.cols == 1, ShapeError, "rows are selected by one score each, got {} columns", scores.cols);
  const auto rows = static_cast<std::size_t>(scores.rows);
  kept.voxel_of_point.resize(rows);
  place.voxel_of_point.resize(rows);
  std::size_t n = 0, sample = 0;
  std::int64_t stay_before = 0;  // leading rows of the sample
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = static_cast<std::int64_t>(r);
    for (; leading > 0 && sample + 1 < begin.size() && begin[sample] <= row; ++sample)
      stay_before = std::min(begin[sample] + leading, begin[sample + 1]);
    const bool stays = row < stay_before || static_cast<double>(scores(row, 0)) > threshold;
    kept.voxel_of_point[n] = static_cast<std::int32_t>(r);
    place.voxel_of_point[r] = stays ? static_cast<std::int32_t>(n) : -1;
    n += stays;
  }
  kept.voxel_of_point.resize(n);
  invert_index(scores.rows, kept);
  invert_index(static_cast<std::int64_t>(n), place);
}
template void select_rows(Matrix<const float>, std::span<const std::int64_t>, double, std::int64_t, RowIndex&,
                          RowIndex&);
template void select_rows(Matrix<const std::uint8_t>, std::span<const std::int64_t>, double, std::int64_t, RowIndex&,
                          RowIndex&);

void select_coords(const Coords& in, const RowIndex& kept, Coords& out) {
  RAREFY_ASSERT(&in != &out);
  out.dims = in.dims;
  out.stride = in.stride;
  out.keys.resize(kept.voxel_of_point.size());
  for (std::size_t r = 0; r < out.keys.size(); ++r)
    out.keys[r] = in.keys[static_cast<std::size_t>(kept.voxel_of_point[r])];
  set_batches(key_layout(in.dims), in.batches(), out);
}

void select_samples(std::span<const std::int64_t> begin, const RowIndex& kept, std::vector<std::int64_t>& out) {
  out.resize(begin.size());
  for (std::size_t s = 0; s < begin.size(); ++s)
    out[s] = std::lower_bound(kept.voxel_of_point.begin(), kept.voxel_of_point.end(), begin[s]) -
             kept.voxel_of_point.begin();
}

}  // namespace rarefy
