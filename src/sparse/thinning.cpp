#include "sparse/thinning.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "sparse/key_sort.h"
#include "sparse/morton.h"
#include "sparse/row_sets.h"

namespace rarefy {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Positions along Morton's curve: every cell of 2, 4, 8, ... voxels is a stretch of it. Fields are offset-binary, so
/// that cells do not straddle the origin.
void make_codes(const Coords& coords, std::vector<std::uint64_t>& code) {
  const KeyLayout layout = key_layout(coords.dims);
  const KeyFields fields(layout);
  const MortonSpreader spread(coords.dims);
  code.resize(coords.keys.size());
  for (std::size_t r = 0; r < code.size(); ++r) {
    const std::uint64_t key = coords.keys[r];
    std::uint64_t c = 0;
    for (int a = 0; a < coords.dims; ++a) c |= spread(fields.value(key, 1 + a)) << (coords.dims - 1 - a);
    const int position_bits = layout.axis_bits * coords.dims;
    code[r] = position_bits < 64 ? c | fields.value(key, 0) << position_bits : c;
  }
}

/// A number that looks random (the finaliser of splitmix64).
std::uint32_t scrambled(std::uint64_t v) {
  v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
  v = (v ^ v >> 27) * 0x94d049bb133111ebu;
  return static_cast<std::uint32_t>(v >> 32 ^ v);
}

/// Non-negative numbers as integers in the same order.
std::uint32_t ordered(float v) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}

class Thinner {
 public:
  Thinner(Matrix<const float> points, const Thinning& wanted, Voxels& voxels, ThinScratch& scratch)
      : points_(points), wanted_(wanted), voxels_(voxels), s_(scratch), dims_(voxels.coords.dims) {}

  std::int64_t run() {
    if (!set_targets()) return 0;
    make_codes(voxels_.coords, s_.code);
    sort_codes();
    rank();
    const std::int64_t before = voxels_.voxels();
    const std::int64_t kept = choose();
    adopt();
    compact(kept);
    return before - kept;
  }

 private:
  /// False: all voxels stay.
  bool set_targets() {
    const Coords& c = voxels_.coords;
    const std::int64_t all = c.rows();
    bool any = false;
    s_.target.resize(at(c.batches()));
    for (std::int64_t b = 0; b < c.batches(); ++b) {
      const std::int64_t rows = c.batch_begin[at(b) + 1] - c.batch_begin[at(b)];
      auto keep = static_cast<std::int64_t>(std::ceil(wanted_.share * static_cast<double>(rows) - 1e-6));
      if (wanted_.most > 0 && all > wanted_.most)
        keep = std::min(keep, static_cast<std::int64_t>(static_cast<double>(wanted_.most) * static_cast<double>(rows) /
                                                        static_cast<double>(all)));
      s_.target[at(b)] = std::clamp<std::int64_t>(keep, std::min<std::int64_t>(1, rows), rows);
      any = any || s_.target[at(b)] < rows;
    }
    return any;
  }

  void sort_codes() {
    std::uint64_t low = ~std::uint64_t{0}, high = 0;
    for (const std::uint64_t c : s_.code) {
      low = std::min(low, c);
      high = std::max(high, c);
    }
    // What all have in common need not be sorted by.
    const int bits = std::bit_width(low ^ high);
    const std::uint64_t mask = bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
    s_.rank.resize(s_.code.size());  // working memory until the ranks are known
    for (std::size_t r = 0; r < s_.code.size(); ++r) s_.rank[r] = s_.code[r] & mask;
    (void)sort_indices(s_.rank, bits, s_.words, s_.other);
    const std::uint64_t index_mask = (std::uint64_t{1} << index_bits(static_cast<std::int64_t>(s_.code.size()))) - 1;
    s_.order.resize(s_.code.size());
    for (std::size_t i = 0; i < s_.order.size(); ++i) s_.order[i] = static_cast<std::int32_t>(s_.words[i] & index_mask);
  }

  std::uint64_t code_at(std::size_t place) const { return s_.code[static_cast<std::size_t>(s_.order[place])]; }

  void rank() {
    const std::size_t n = s_.code.size();
    const auto set = [&](std::size_t row, std::uint32_t score) {
      s_.rank[row] = std::uint64_t{score} << 32 | scrambled(s_.code[row]);
    };
    switch (wanted_.order) {
      case VoxelOrder::random:
        for (std::size_t r = 0; r < n; ++r) set(r, 0);
        break;
      case VoxelOrder::points:
        for (std::size_t r = 0; r < n; ++r)
          set(r, static_cast<std::uint32_t>(voxels_.point_begin[r + 1] - voxels_.point_begin[r]));
        break;
      case VoxelOrder::near:
        for (std::size_t r = 0; r < n; ++r) set(r, ~ordered(squared_distance(r)));
        break;
      case VoxelOrder::crowded:
        rank_crowded();
        break;
      case VoxelOrder::spread:
        rank_spread();
        break;
    }
  }

  /// Of the voxel's first point, along the ground.
  float squared_distance(std::size_t row) const {
    const float* p = points_.row(voxels_.point_order[static_cast<std::size_t>(voxels_.point_begin[row])]);
    return dims_ > 1 ? p[0] * p[0] + p[1] * p[1] : p[0] * p[0];
  }

  /// Voxels in the same cell of 8.
  void rank_crowded() {
    constexpr int kLevel = 3;
    const std::size_t n = s_.order.size();
    for (std::size_t begin = 0; begin < n;) {
      std::size_t end = begin + 1;
      while (end < n && common_level(code_at(begin), code_at(end), dims_) <= kLevel) ++end;
      for (std::size_t i = begin; i < end; ++i) {
        const auto row = static_cast<std::size_t>(s_.order[i]);
        s_.rank[row] = static_cast<std::uint64_t>(end - begin) << 32 | scrambled(s_.code[row]);
      }
      begin = end;
    }
  }

  /// Points times 1 + the level of the largest cell (of 2^level voxels) in which no voxel has more points. Of voxels
  /// alike the one with the largest scrambled position counts as the one with most, so that no direction is preferred.
  void rank_spread() {
    constexpr int kLevels = 5;
    const std::size_t n = s_.order.size();
    const auto points_of = [&](std::size_t r) {
      return static_cast<std::uint64_t>(voxels_.point_begin[r + 1] - voxels_.point_begin[r]);
    };
    for (std::size_t r = 0; r < n; ++r) s_.rank[r] = points_of(r) << 32 | scrambled(s_.code[r]);
    s_.level.assign(n, 0);
    s_.other.assign(s_.order.begin(), s_.order.end());  // those with most points of their cells so far, along the curve
    for (int level = 1; level <= kLevels; ++level) {
      std::size_t left = 0;
      for (std::size_t i = 0; i < s_.other.size();) {
        std::size_t best = i, end = i + 1;
        const std::uint64_t first = s_.code[s_.other[i]];
        for (; end < s_.other.size() && common_level(first, s_.code[s_.other[end]], dims_) <= level; ++end)
          if (s_.rank[s_.other[end]] > s_.rank[s_.other[best]]) best = end;
        s_.level[s_.other[best]] = static_cast<std::uint8_t>(level);
        s_.other[left++] = s_.other[best];
        i = end;
      }
      s_.other.resize(left);
    }
    for (std::size_t r = 0; r < n; ++r) s_.rank[r] = points_of(r) * (1u + s_.level[r]) << 32 | scrambled(s_.code[r]);
  }

  /// Marks the rows that stay with their new row, others with -1.
  std::int64_t choose() {
    const Coords& c = voxels_.coords;
    s_.new_row.resize(s_.rank.size());
    std::int64_t next = 0;
    for (std::int64_t b = 0; b < c.batches(); ++b) {
      const std::int64_t first = c.batch_begin[at(b)], end = c.batch_begin[at(b) + 1], keep = s_.target[at(b)];
      if (first == end) continue;
      s_.other.assign(s_.rank.begin() + first, s_.rank.begin() + end);
      const auto last = s_.other.begin() + (keep - 1);
      std::nth_element(s_.other.begin(), last, s_.other.end(), std::greater<>());
      const std::uint64_t lowest = *last;
      // Equal ranks are possible, if unlikely: the earlier rows stay.
      const std::int64_t above = std::count_if(s_.rank.begin() + first, s_.rank.begin() + end,
                                               [lowest](std::uint64_t rank) { return rank > lowest; });
      std::int64_t equal = keep - above;
      for (std::int64_t r = first; r < end; ++r) {
        const bool stays = s_.rank[at(r)] > lowest || (s_.rank[at(r)] == lowest && equal-- > 0);
        s_.new_row[at(r)] = stays ? static_cast<std::int32_t>(next++) : -1;
      }
    }
    return next;
  }

  std::int64_t squared_gap(std::int32_t a, std::int32_t b) const {
    const KeyLayout layout = key_layout(dims_);
    std::int32_t batch = 0, from[kMaxDims] = {}, to[kMaxDims] = {};
    unpack_key(layout, voxels_.coords.keys[at(a)], &batch, from);
    unpack_key(layout, voxels_.coords.keys[at(b)], &batch, to);
    std::int64_t sum = 0;
    for (int axis = 0; axis < dims_; ++axis) {
      const std::int64_t d = std::int64_t{from[axis]} - to[axis];
      sum += d * d;
    }
    return sum;
  }

  /// Gives each row that does not stay the new row of a neighbour, as -2 - row: of those that stay next to it along the
  /// curve, the one in the smaller cell; in cells of one size, the nearer one.
  void adopt() {
    const std::size_t n = s_.order.size();
    std::vector<std::uint64_t>& before = s_.other;  // by place: the row that stays before it, or kNoKey
    before.resize(n);
    std::uint64_t latest = kNoKey;
    for (std::size_t i = 0; i < n; ++i) {
      if (s_.new_row[static_cast<std::size_t>(s_.order[i])] >= 0) latest = static_cast<std::uint64_t>(s_.order[i]);
      before[i] = latest;
    }
    latest = kNoKey;
    const KeyFields fields(key_layout(dims_));
    const auto sample = [&](std::uint64_t row) { return fields.value(voxels_.coords.keys[row], 0); };
    for (std::size_t i = n; i-- > 0;) {
      const std::int32_t row = s_.order[i];
      if (s_.new_row[static_cast<std::size_t>(row)] >= 0) {
        latest = static_cast<std::uint64_t>(row);
        continue;
      }
      const auto mine = sample(static_cast<std::uint64_t>(row));
      const auto level = [&](std::uint64_t other) {
        if (other == kNoKey || sample(other) != mine) return 1000;
        return common_level(s_.code[static_cast<std::size_t>(row)], s_.code[other], dims_);
      };
      const int left = level(before[i]), right = level(latest);
      const bool take_left = left != right ? left < right
                                           : left < 1000 && squared_gap(row, static_cast<std::int32_t>(before[i])) <=
                                                                squared_gap(row, static_cast<std::int32_t>(latest));
      const std::uint64_t chosen = take_left ? before[i] : latest;
      s_.new_row[static_cast<std::size_t>(row)] = -2 - s_.new_row[chosen];
    }
  }

  void compact(std::int64_t kept) {
    Coords& c = voxels_.coords;
    for (std::int32_t& voxel : voxels_.voxel_of_point) {
      if (voxel < 0) continue;
      const std::int32_t row = s_.new_row[static_cast<std::size_t>(voxel)];
      voxel = row >= 0 ? row : -2 - row;
    }
    std::size_t points = 0;
    for (std::size_t r = 0; r < s_.new_row.size(); ++r) {
      const std::int32_t row = s_.new_row[r];
      if (row < 0) continue;
      const std::int32_t begin = voxels_.point_begin[r], end = voxels_.point_begin[r + 1];
      // New rows never come after the old ones: what is written has been read.
      c.keys[static_cast<std::size_t>(row)] = c.keys[r];
      voxels_.point_begin[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(points);
      for (std::int32_t p = begin; p < end; ++p)
        voxels_.point_order[points++] = voxels_.point_order[static_cast<std::size_t>(p)];
    }
    c.keys.resize(at(kept));
    voxels_.point_begin.resize(at(kept) + 1);
    voxels_.point_begin[at(kept)] = static_cast<std::int32_t>(points);
    voxels_.point_order.resize(points);
    set_batches(key_layout(dims_), c.batches(), c);
  }

  Matrix<const float> points_;
  const Thinning& wanted_;
  Voxels& voxels_;
  ThinScratch& s_;
  const int dims_;
};

}  // namespace

std::int64_t thin(Matrix<const float> points, const Thinning& wanted, Voxels& voxels, ThinScratch& scratch) {
  RAREFY_CHECK(wanted.share >= 0.0 && wanted.share <= 1.0, UsageError, "a share of {} of the voxels makes no sense",
               wanted.share);
  RAREFY_CHECK(wanted.most >= 0, UsageError, "{} voxels at most make no sense; 0 = any number", wanted.most);
  if (!wanted.active() || voxels.coords.rows() == 0) return 0;
  return Thinner(points, wanted, voxels, scratch).run();
}

void thin_rows(Matrix<const float> points, const Thinning& wanted, const Voxels& voxels, ThinRowsScratch& scratch,
               RowIndex& kept, RowIndex& place, Coords& out) {
  Voxels& v = scratch.voxels;  // without the working memory of `voxels`
  v.coords.dims = voxels.coords.dims;
  v.coords.stride = voxels.coords.stride;
  v.coords.keys = voxels.coords.keys;
  v.coords.batch_begin = voxels.coords.batch_begin;
  v.voxel_of_point = voxels.voxel_of_point;
  v.point_order = voxels.point_order;
  v.point_begin = voxels.point_begin;
  (void)thin(points, wanted, v, scratch.thin);
  const std::size_t before = voxels.coords.keys.size(), after = v.coords.keys.size();
  kept.voxel_of_point.resize(after);
  place.voxel_of_point.resize(before);
  for (std::size_t r = 0, n = 0; r < before; ++r) {
    if (n < after && voxels.coords.keys[r] == v.coords.keys[n]) kept.voxel_of_point[n++] = static_cast<std::int32_t>(r);
    // Every voxel has a point, which knows.
    place.voxel_of_point[r] =
        v.voxel_of_point[static_cast<std::size_t>(voxels.point_order[static_cast<std::size_t>(voxels.point_begin[r])])];
  }
  invert_index(static_cast<std::int64_t>(before), kept);
  invert_any_index(static_cast<std::int64_t>(after), place);
  out.dims = v.coords.dims;
  out.stride = v.coords.stride;
  out.keys = v.coords.keys;
  out.batch_begin = v.coords.batch_begin;
}

}  // namespace rarefy
