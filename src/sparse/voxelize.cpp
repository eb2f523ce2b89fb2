#include "sparse/voxelize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "sparse/key_sort.h"

namespace rarefy {
namespace {

constexpr std::int64_t kPartPoints = 8192;  // a part's points and keys stay in cache

/// What one part of the points contributes; kept in scratch as 64-bit words, so that nothing is allocated.
struct PartResult {
  KeyBox box;
  std::int64_t not_finite = 0;
  std::int64_t outside = 0;
  static constexpr std::size_t kWords = 2 * (kMaxDims + 1) + 2;

  void store(std::uint64_t* words) const {
    std::copy_n(box.low, kMaxDims + 1, words);
    std::copy_n(box.high, kMaxDims + 1, words + kMaxDims + 1);
    words[kWords - 2] = static_cast<std::uint64_t>(not_finite);
    words[kWords - 1] = static_cast<std::uint64_t>(outside);
  }
  void add(const std::uint64_t* words) {
    KeyBox other;
    std::copy_n(words, kMaxDims + 1, other.low);
    std::copy_n(words + kMaxDims + 1, kMaxDims + 1, other.high);
    box.add(other);
    not_finite += static_cast<std::int64_t>(words[kWords - 2]);
    outside += static_cast<std::int64_t>(words[kWords - 1]);
  }
};

/// floor for values inside the range of int32, without a library call (the baseline has no rounding instruction).
std::int32_t floor_to_int(float x) {
  const auto truncated = static_cast<std::int32_t>(x);
  return truncated - (x < static_cast<float>(truncated));
}

/// Key of each point in [begin, end), all of sample `batch`; kNoKey for points that are dropped.
template <int kDims, Rounding kRounding>
void quantize(Matrix<const float> points, std::int64_t begin, std::int64_t end, std::int64_t batch,
              const VoxelizeOptions& options, const KeyLayout& layout, std::uint64_t* keys, PartResult& result) {
  const auto limit = static_cast<float>(layout.limit);  // exact: few significant bits
  const std::int64_t bias = std::int64_t{1} << (layout.axis_bits - 1);
  std::uint64_t low[kDims];
  std::uint64_t high[kDims];
  std::fill_n(low, kDims, ~std::uint64_t{0});
  std::fill_n(high, kDims, std::uint64_t{0});
  bool any = false;
  for (std::int64_t p = begin; p < end; ++p) {
    const float* x = points.row(p);
    bool finite = true;
    bool inside = true;
    std::uint64_t field[kDims];
    for (int a = 0; a < kDims; ++a) {
      finite &= std::isfinite(x[a]);
      inside &= x[a] >= options.crop_min[a] && x[a] < options.crop_max[a];
      float q = (x[a] - options.origin[a]) / options.voxel_size[a];
      if constexpr (kRounding == Rounding::round_minus_min) q = std::nearbyint(q);
      const bool fits = q >= -limit && q < limit;
      inside &= fits;
      field[a] = static_cast<std::uint64_t>(floor_to_int(fits ? q : 0.0f) + bias);
    }
    if (!finite || !inside) {
      result.not_finite += !finite;
      result.outside += finite;
      keys[p] = kNoKey;
      continue;
    }
    any = true;
    std::uint64_t key = static_cast<std::uint64_t>(batch);
    for (int a = 0; a < kDims; ++a) {
      key = key << layout.axis_bits | field[a];
      low[a] = std::min(low[a], field[a]);
      high[a] = std::max(high[a], field[a]);
    }
    keys[p] = key;
  }
  if (!any) return;
  KeyBox box;
  box.low[0] = box.high[0] = static_cast<std::uint64_t>(batch);
  std::copy_n(low, kDims, box.low + 1);
  std::copy_n(high, kDims, box.high + 1);
  result.box.add(box);
}

using QuantizeFunction = void (*)(Matrix<const float>, std::int64_t, std::int64_t, std::int64_t, const VoxelizeOptions&,
                                  const KeyLayout&, std::uint64_t*, PartResult&);
QuantizeFunction quantize_function(int dims, Rounding rounding) {
  static constexpr QuantizeFunction kFunctions[2][kMaxDims] = {
      {quantize<1, Rounding::floor>, quantize<2, Rounding::floor>, quantize<3, Rounding::floor>,
       quantize<4, Rounding::floor>},
      {quantize<1, Rounding::round_minus_min>, quantize<2, Rounding::round_minus_min>,
       quantize<3, Rounding::round_minus_min>, quantize<4, Rounding::round_minus_min>}};
  return kFunctions[rounding == Rounding::floor ? 0 : 1][dims - 1];
}

/// Calls f(begin, end, sample) for the samples' shares of points [begin, end).
template <class F>
void for_each_sample(std::span<const std::int64_t> sample_begin, std::int64_t begin, std::int64_t end, F f) {
  auto next = std::upper_bound(sample_begin.begin(), sample_begin.end(), begin);
  while (begin < end) {
    const std::int64_t stop = std::min(end, *next);
    f(begin, stop, next - sample_begin.begin() - 1);
    begin = stop;
    ++next;
    while (next != sample_begin.end() && *next == begin) ++next;  // samples without points
  }
}

/// Second half of round_minus_min: moves each sample so that its smallest field on each axis becomes position 0.
void subtract_minimum(std::span<const std::int64_t> sample_begin, const KeyLayout& layout,
                      std::span<std::uint64_t> keys, Voxels& out, KeyBox& box) {
  const KeyFields fields(layout);
  const std::uint64_t zero = std::uint64_t{1} << (layout.axis_bits - 1);
  const std::uint64_t highest = zero + static_cast<std::uint64_t>(layout.limit) - 1;
  box = KeyBox();
  for (std::size_t b = 0; b + 1 < sample_begin.size(); ++b) {
    const auto mine = keys.subspan(static_cast<std::size_t>(sample_begin[b]),
                                   static_cast<std::size_t>(sample_begin[b + 1] - sample_begin[b]));
    KeyBox sample;
    for (const std::uint64_t key : mine) {
      if (key != kNoKey) sample.add(bounding_box(fields, {&key, 1}));
    }
    if (sample.empty()) continue;
    for (std::uint64_t& key : mine) {
      if (key == kNoKey) continue;
      std::uint64_t moved = fields.value(key, 0);
      bool fits = true;
      for (int f = 1; f < fields.count; ++f) {
        const std::uint64_t value = fields.value(key, f) - sample.low[f] + zero;
        fits &= value <= highest;
        moved = moved << layout.axis_bits | value;
      }
      out.outside += !fits;
      key = fits ? moved : kNoKey;
      if (fits) box.add(bounding_box(fields, {&key, 1}));
    }
  }
}

/// Fills voxels, order and inverse map from the sorted words (key above, point index below).
template <class KeyOf>
void make_voxels(const std::vector<std::uint64_t>& words, std::uint64_t index_mask, KeyOf key_of, Voxels& out) {
  const std::size_t kept = words.size();
  out.coords.keys.resize(kept);
  out.point_begin.resize(kept + 1);
  out.point_order.resize(kept);
  std::int32_t voxel = -1;
  std::uint64_t previous = kNoKey;
  for (std::size_t i = 0; i < kept; ++i) {
    const std::uint64_t key = key_of(words[i]);
    voxel += key != previous;
    previous = key;
    // The last point of a voxel writes its key, the first one its begin: both are written by all, free of branches.
    const auto v = static_cast<std::size_t>(voxel);
    out.coords.keys[v] = key;
    out.point_begin[v + 1] = static_cast<std::int32_t>(i) + 1;
    const auto point = static_cast<std::size_t>(words[i] & index_mask);
    out.point_order[i] = static_cast<std::int32_t>(point);
    out.voxel_of_point[point] = voxel;
  }
  out.point_begin[0] = 0;
  out.coords.keys.resize(static_cast<std::size_t>(voxel + 1));
  out.point_begin.resize(static_cast<std::size_t>(voxel + 2));
}

}  // namespace

void check_voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin,
                    const VoxelizeOptions& options) {
  const KeyLayout layout = key_layout(options.dims);
  for (int a = 0; a < options.dims; ++a) {
    const float v = options.voxel_size[a];
    RAREFY_CHECK(std::isfinite(v) && v > 0.0f, UsageError,
                 "the voxel size along {} must be positive and finite, got {}", kAxisName[a], v);
    RAREFY_CHECK(!std::isnan(options.crop_min[a]) && !std::isnan(options.crop_max[a]), UsageError,
                 "the crop along {} is [{}, {}): bounds must be numbers", kAxisName[a], options.crop_min[a],
                 options.crop_max[a]);
  }
  RAREFY_CHECK(points.rows == 0 || points.cols >= options.dims, ShapeError,
               "{}-dimensional voxels need at least {} columns of coordinates, points have {}", options.dims,
               options.dims, points.cols);
  RAREFY_CHECK(points.rows <= std::numeric_limits<std::int32_t>::max(), UsageError,
               "{} points exceed the range of row indices (2^31 - 1)", points.rows);
  RAREFY_CHECK(!sample_begin.empty() && sample_begin.front() == 0 && sample_begin.back() == points.rows &&
                   std::is_sorted(sample_begin.begin(), sample_begin.end()),
               UsageError, "sample_begin must ascend from 0 to the number of points, {}", points.rows);
  const auto samples = static_cast<std::int64_t>(sample_begin.size()) - 1;
  RAREFY_CHECK(samples <= layout.max_batch(), UsageError,
               "{} samples exceed the {} that {}-dimensional coordinates can hold", samples, layout.max_batch(),
               layout.dims);
}

Reduction reduction_named(std::string_view name) {
  if (name == "first") return Reduction::first;
  if (name == "mean") return Reduction::mean;
  if (name == "max") return Reduction::max;
  RAREFY_CHECK(name == "sum", UsageError, "reduction is '{}', known are 'first', 'mean', 'max' and 'sum'", name);
  return Reduction::sum;
}

void set_rounding(std::string_view name, VoxelizeOptions& options) {
  RAREFY_CHECK(name == "floor" || name == "round_minus_min" || name == "floor_from_crop", UsageError,
               "rounding must be 'floor', 'round_minus_min' or 'floor_from_crop', found '{}'", name);
  options.rounding = name == "round_minus_min" ? Rounding::round_minus_min : Rounding::floor;
  options.origin = VoxelizeOptions::filled(0.0f);
  if (name != "floor_from_crop") return;
  for (int a = 0; a < options.dims; ++a) {
    options.origin[a] = options.crop_min[a];
    RAREFY_CHECK(std::isfinite(options.origin[a]), UsageError,
                 "rounding 'floor_from_crop' counts voxels from the crop, which has no lower bound along {}",
                 kAxisName[a]);
  }
}

void voxelize(Matrix<const float> points, std::span<const std::int64_t> sample_begin, const VoxelizeOptions& options,
              Executor& executor, Voxels& out) {
  check_voxelize(points, sample_begin, options);
  const KeyLayout layout = key_layout(options.dims);
  const auto count = static_cast<std::size_t>(points.rows);
  std::vector<std::uint64_t>& keys = out.scratch[0];
  std::vector<std::uint64_t>& words = out.scratch[1];
  std::vector<std::uint64_t>& part_results = out.scratch[3];
  const std::int64_t parts = (points.rows + kPartPoints - 1) / kPartPoints;
  keys.resize(count);
  part_results.resize(static_cast<std::size_t>(parts) * PartResult::kWords);

  const QuantizeFunction quantize_part = quantize_function(options.dims, options.rounding);
  executor.parallel_for(parts, [&](std::int64_t part, int) {
    PartResult result;
    const std::int64_t begin = part * kPartPoints;
    for_each_sample(sample_begin, begin, std::min(begin + kPartPoints, points.rows),
                    [&](std::int64_t from, std::int64_t to, std::int64_t sample) {
                      quantize_part(points, from, to, sample, options, layout, keys.data(), result);
                    });
    result.store(part_results.data() + static_cast<std::size_t>(part) * PartResult::kWords);
  });
  PartResult total;
  for (std::size_t w = 0; w < part_results.size(); w += PartResult::kWords) total.add(part_results.data() + w);
  out.not_finite = total.not_finite;
  out.outside = total.outside;
  if (options.rounding == Rounding::round_minus_min) subtract_minimum(sample_begin, layout, keys, out, total.box);

  const KeyCompactor compactor(KeyFields(layout), total.box);
  for (std::uint64_t& key : keys) key = key == kNoKey ? kNoKey : compactor.compact(key);
  const bool whole = sort_indices(keys, compactor.bits(), words, out.scratch[2]);
  const int bits = index_bits(points.rows);
  const std::uint64_t index_mask = (std::uint64_t{1} << bits) - 1;
  out.voxel_of_point.assign(count, -1);
  if (whole) {
    make_voxels(
        words, index_mask, [bits](std::uint64_t word) { return word >> bits; }, out);
  } else {
    make_voxels(
        words, index_mask, [&](std::uint64_t word) { return keys[word & index_mask]; }, out);
  }
  for (std::uint64_t& key : out.coords.keys) key = compactor.expand(key);
  out.coords.dims = options.dims;
  out.coords.stride = {1, 1, 1, 1};
  set_batches(layout, static_cast<std::int64_t>(sample_begin.size()) - 1, out.coords);
}

}  // namespace rarefy
