#include "sparse/point_voxel.h"

#include <algorithm>

#include "base/check.h"
#include "sparse/shares.h"

namespace rarefy {
namespace {

constexpr std::int64_t kPartRows = 1024;

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/// The cell of the target's grid that holds a position.
struct Cell {
  bool valid = false;
  bool low_in_range = true;  ///< false at the lower end of the range, where the stride does not divide it
  std::int64_t batch = 0;
  std::int32_t low[kMaxDims] = {};  ///< lower corner, a multiple of the stride
  double fraction[kMaxDims] = {};   ///< place within the cell, 0 to 1
};

/// Reads the cells of consecutive positions.
class CellReader {
 public:
  CellReader(const Positions& positions, const Coords& to, std::int64_t first)
      : positions_(positions), to_(to), layout_(key_layout(to.dims)) {
    const auto& begin = positions.sample_begin;
    if (positions.sites == nullptr) batch_ = std::upper_bound(begin.begin(), begin.end(), first) - begin.begin() - 1;
  }

  /// Rows must ascend from call to call.
  Cell read(std::int64_t row) { return positions_.sites != nullptr ? read_site(row) : read_point(row); }

 private:
  Cell read_site(std::int64_t row) const {
    Cell cell;
    cell.valid = true;
    std::int32_t batch = 0, position[kMaxDims] = {};
    unpack_key(layout_, positions_.sites->keys[static_cast<std::size_t>(row)], &batch, position);
    cell.batch = batch;
    for (int a = 0; a < to_.dims; ++a) set_axis(cell, a, position[a], position[a]);
    return cell;
  }

  Cell read_point(std::int64_t row) {
    while (row >= positions_.sample_begin[static_cast<std::size_t>(batch_) + 1]) ++batch_;
    Cell cell;
    cell.batch = batch_;
    cell.valid = true;
    const auto limit = static_cast<float>(layout_.limit);
    const float* x = positions_.points.row(row);
    for (int a = 0; a < to_.dims && cell.valid; ++a) {
      const float q = x[a] / positions_.voxel_size[static_cast<std::size_t>(a)];
      cell.valid = q >= -limit && q < limit;  // false for NaN
      if (!cell.valid) break;
      const auto truncated = static_cast<std::int64_t>(q);
      set_axis(cell, a, truncated - (q < static_cast<float>(truncated)), q);
    }
    return cell;
  }

  void set_axis(Cell& cell, int axis, std::int64_t floor, double position) const {
    const std::int64_t stride = to_.stride[static_cast<std::size_t>(axis)];
    const std::int64_t low = floor_div(floor, stride) * stride;
    cell.low_in_range = cell.low_in_range && low >= -layout_.limit;
    cell.low[axis] = static_cast<std::int32_t>(low);
    cell.fraction[axis] = (position - static_cast<double>(low)) / static_cast<double>(stride);
  }

  const Positions& positions_;
  const Coords& to_;
  KeyLayout layout_;
  std::int64_t batch_ = 0;
};

/// First of the ascending keys that is not below `key`; searched from `near` outwards, since positions that follow each
/// other mostly lie beside each other.
std::size_t lower_bound_near(std::span<const std::uint64_t> keys, std::uint64_t key, std::size_t near) {
  std::size_t low = 0, high = 0, step = 1;
  if (near < keys.size() && keys[near] < key) {
    low = near + 1;
    for (; low + step <= keys.size() && keys[low + step - 1] < key; step *= 2) low += step;
    high = std::min(keys.size(), low + step - 1);
  } else {
    high = std::min(near, keys.size());
    for (; step <= high && keys[high - step] >= key; step *= 2) high -= step;
    low = step > high ? 0 : high - step + 1;
  }
  return static_cast<std::size_t>(std::lower_bound(keys.begin() + static_cast<std::ptrdiff_t>(low),
                                                   keys.begin() + static_cast<std::ptrdiff_t>(high), key) -
                                  keys.begin());
}

void check_positions(const Positions& from, const Coords& to) {
  if (from.sites != nullptr) {
    RAREFY_CHECK(from.sites->dims == to.dims, ShapeError, "positions have {} axes, the sites to find have {}",
                 from.sites->dims, to.dims);
    return;
  }
  RAREFY_CHECK(from.points.rows == 0 || from.points.cols >= to.dims, ShapeError,
               "{}-dimensional positions need at least {} columns, points have {}", to.dims, to.dims, from.points.cols);
  RAREFY_CHECK(!from.sample_begin.empty() && from.sample_begin.front() == 0 &&
                   from.sample_begin.back() == from.points.rows &&
                   std::is_sorted(from.sample_begin.begin(), from.sample_begin.end()),
               UsageError, "sample_begin must ascend from 0 to the number of points, {}", from.points.rows);
  for (int a = 0; a < to.dims; ++a)
    RAREFY_CHECK(from.voxel_size[static_cast<std::size_t>(a)] > 0.0f, UsageError,
                 "the voxel size along {} must be positive, got {}", kAxisName[a],
                 from.voxel_size[static_cast<std::size_t>(a)]);
}

/// Calls f(row, cell) in parallel shares, rows ascending within a share.
template <class F>
void for_cells(const Positions& positions, const Coords& to, Executor& executor, F make_visitor) {
  const std::int64_t rows = positions.rows();
  executor.parallel_for((rows + kPartRows - 1) / kPartRows, [&](std::int64_t part, int) {
    const std::int64_t begin = part * kPartRows, end = std::min(rows, begin + kPartRows);
    CellReader reader(positions, to, begin);
    auto visit = make_visitor();
    for (std::int64_t r = begin; r < end; ++r) visit(r, reader.read(r));
  });
}

/// Lists the positions by the site that holds them, in their order (counting sort).
void list_by_site(std::int64_t sites, Voxels& out) {
  out.point_begin.assign(static_cast<std::size_t>(sites) + 1, 0);
  for (const std::int32_t v : out.voxel_of_point)
    if (v >= 0) ++out.point_begin[static_cast<std::size_t>(v) + 1];
  for (std::size_t v = 1; v < out.point_begin.size(); ++v) out.point_begin[v] += out.point_begin[v - 1];
  out.point_order.resize(static_cast<std::size_t>(out.point_begin.back()));
  for (std::size_t p = 0; p < out.voxel_of_point.size(); ++p) {
    const std::int32_t v = out.voxel_of_point[p];
    if (v >= 0)
      out.point_order[static_cast<std::size_t>(out.point_begin[static_cast<std::size_t>(v)]++)] =
          static_cast<std::int32_t>(p);
  }
  // Each begin has moved to the next one's place.
  for (std::size_t v = out.point_begin.size() - 1; v > 0; --v) out.point_begin[v] = out.point_begin[v - 1];
  out.point_begin[0] = 0;
}

/// Rows of the corners of one cell: lines along the last axis, whose two corners are neighbours in the keys or absent.
class CornerSearch {
 public:
  explicit CornerSearch(const Coords& to) : to_(to), layout_(key_layout(to.dims)) {}

  void find(const Cell& cell, std::int32_t* rows) {
    const int last = to_.dims - 1;
    const std::int32_t step = to_.stride[static_cast<std::size_t>(last)];
    for (int line = 0; line < 1 << last; ++line) {
      std::int32_t position[kMaxDims] = {};
      bool inside = true;
      for (int a = 0; a < last; ++a) {
        const bool upper = (line >> (last - 1 - a) & 1) != 0;
        position[a] = cell.low[a] + (upper ? to_.stride[static_cast<std::size_t>(a)] : 0);
        inside = inside && in_range(position[a]);
      }
      rows[2 * line] = rows[2 * line + 1] = -1;
      if (!inside) continue;
      // A key out of range would be another site's: the search starts at the first corner of the line that is in range.
      const bool lower = in_range(cell.low[last]), upper = in_range(std::int64_t{cell.low[last]} + step);
      if (!lower && !upper) continue;
      position[last] = cell.low[last] + (lower ? 0 : step);
      const std::uint64_t key = pack_key(layout_, cell.batch, position);
      std::size_t at = near_[line] = lower_bound_near(to_.keys, key, near_[line]);
      if (lower) rows[2 * line] = row_at(at, key);
      if (lower && rows[2 * line] >= 0) ++at;
      if (upper) rows[2 * line + 1] = row_at(at, lower ? key + static_cast<std::uint64_t>(step) : key);
    }
  }

 private:
  bool in_range(std::int64_t position) const { return position >= -layout_.limit && position < layout_.limit; }
  std::int32_t row_at(std::size_t at, std::uint64_t key) const {
    return at < to_.keys.size() && to_.keys[at] == key ? static_cast<std::int32_t>(at) : -1;
  }

  const Coords& to_;
  KeyLayout layout_;
  std::size_t near_[1 << (kMaxDims - 1)] = {};  ///< where the last search of each line ended
};

void set_weights(const Cell& cell, int dims, MissingNeighbours missing, const std::int32_t* rows, float* weights) {
  double exact[1 << kMaxDims];
  double sum = 0.0;
  for (int corner = 0; corner < 1 << dims; ++corner) {
    double w = rows[corner] < 0 ? 0.0 : 1.0;
    for (int a = 0; a < dims; ++a) w *= (corner >> (dims - 1 - a) & 1) != 0 ? cell.fraction[a] : 1.0 - cell.fraction[a];
    exact[corner] = w;
    sum += w;
  }
  const double scale = missing == MissingNeighbours::renormalise ? 1.0 / (sum + 1e-8) : 1.0;
  for (int corner = 0; corner < 1 << dims; ++corner) weights[corner] = static_cast<float>(exact[corner] * scale);
}

void check_shape(const char* what, std::int64_t rows, std::int64_t cols, std::int64_t want_rows,
                 std::int64_t want_cols) {
  RAREFY_CHECK(rows == want_rows && cols == want_cols, ShapeError, "{} must be [{}, {}], got [{}, {}]", what, want_rows,
               want_cols, rows, cols);
}

}  // namespace

std::int64_t Interpolation::memory_bytes() const {
  return static_cast<std::int64_t>(row.capacity() * sizeof(std::int32_t) + weight.capacity() * sizeof(float));
}

void locate(const Positions& from, const Coords& to, Executor& executor, Voxels& out) {
  check_positions(from, to);
  const KeyLayout layout = key_layout(to.dims);
  out.voxel_of_point.resize(static_cast<std::size_t>(from.rows()));
  out.not_finite = out.outside = 0;
  for_cells(from, to, executor, [&] {
    return [&, near = std::size_t{0}](std::int64_t row, const Cell& cell) mutable {
      std::int32_t found = -1;
      if (cell.valid && cell.low_in_range) {
        const std::uint64_t key = pack_key(layout, cell.batch, cell.low);
        near = lower_bound_near(to.keys, key, near);
        if (near < to.keys.size() && to.keys[near] == key) found = static_cast<std::int32_t>(near);
      }
      out.voxel_of_point[static_cast<std::size_t>(row)] = found;
    };
  });
  list_by_site(to.rows(), out);
}

void make_interpolation(const Positions& at, const Coords& to, MissingNeighbours missing, Executor& executor,
                        Interpolation& out) {
  check_positions(at, to);
  out.corners = std::int64_t{1} << to.dims;
  out.sites = to.rows();
  const auto entries = static_cast<std::size_t>(at.rows() * out.corners);
  out.row.resize(entries);
  out.weight.resize(entries);
  for_cells(at, to, executor, [&] {
    return [&, search = CornerSearch(to)](std::int64_t row, const Cell& cell) mutable {
      std::int32_t* rows = out.row.data() + row * out.corners;
      float* weights = out.weight.data() + row * out.corners;
      if (!cell.valid) {
        std::fill_n(rows, out.corners, -1);
        std::fill_n(weights, out.corners, 0.0f);
        return;
      }
      search.find(cell, rows);
      set_weights(cell, to.dims, missing, rows, weights);
    };
  });
}

void interpolate(const Interpolation& interpolation, Matrix<const float> x, Executor& executor, Matrix<float> y) {
  check_shape("the features to interpolate", x.rows, x.cols, interpolation.sites, x.cols);
  check_shape("the interpolated rows", y.rows, y.cols, interpolation.rows(), x.cols);
  executor.parallel_for((y.rows + kPartRows - 1) / kPartRows, [&](std::int64_t part, int) {
    for (std::int64_t p = part * kPartRows; p < std::min(y.rows, (part + 1) * kPartRows); ++p) {
      float* sum = y.row(p);
      std::fill_n(sum, y.cols, 0.0f);
      for (std::int64_t e = p * interpolation.corners; e < (p + 1) * interpolation.corners; ++e) {
        const std::int32_t from = interpolation.row[static_cast<std::size_t>(e)];
        const float weight = interpolation.weight[static_cast<std::size_t>(e)];
        if (from < 0 || weight == 0.0f) continue;
        const float* row = x.row(from);
        for (std::int64_t c = 0; c < y.cols; ++c) sum[c] += weight * row[c];
      }
    }
  });
}

void interpolate_gradient(const Interpolation& interpolation, Matrix<const float> y_gradient, Executor& executor,
                          Matrix<float> x_gradient) {
  check_shape("the gradient of the interpolated rows", y_gradient.rows, y_gradient.cols, interpolation.rows(),
              x_gradient.cols);
  check_shape("the gradient of the features", x_gradient.rows, x_gradient.cols, interpolation.sites, x_gradient.cols);
  // Entries by the row that they read, in their order (counting sort).
  std::vector<std::int64_t> begin(static_cast<std::size_t>(interpolation.sites) + 1, 0);
  const auto used = [&](std::size_t e) { return interpolation.row[e] >= 0 && interpolation.weight[e] != 0.0f; };
  for (std::size_t e = 0; e < interpolation.row.size(); ++e)
    if (used(e)) ++begin[static_cast<std::size_t>(interpolation.row[e]) + 1];
  for (std::size_t v = 1; v < begin.size(); ++v) begin[v] += begin[v - 1];
  std::vector<std::int64_t> readers(static_cast<std::size_t>(begin.back()));
  std::vector<std::int64_t> next(begin.begin(), begin.end() - 1);
  for (std::size_t e = 0; e < interpolation.row.size(); ++e)
    if (used(e))
      readers[static_cast<std::size_t>(next[static_cast<std::size_t>(interpolation.row[e])]++)] =
          static_cast<std::int64_t>(e);
  for_equal_shares(std::span<const std::int64_t>(begin), executor, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t v = first; v < last; ++v) {
      float* sum = x_gradient.row(v);
      std::fill_n(sum, x_gradient.cols, 0.0f);
      for (std::int64_t i = begin[static_cast<std::size_t>(v)]; i < begin[static_cast<std::size_t>(v) + 1]; ++i) {
        const std::int64_t e = readers[static_cast<std::size_t>(i)];
        const float weight = interpolation.weight[static_cast<std::size_t>(e)];
        const float* row = y_gradient.row(e / interpolation.corners);
        for (std::int64_t c = 0; c < x_gradient.cols; ++c) sum[c] += weight * row[c];
      }
    }
  });
}

}  // namespace rarefy
