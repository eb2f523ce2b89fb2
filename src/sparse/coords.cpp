#include "sparse/coords.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "sparse/key_sort.h"

namespace rarefy {
namespace {

void check_row(const KeyLayout& layout, const Extent& stride, std::int64_t batches, std::int64_t row,
               const std::int32_t* values) {
  RAREFY_CHECK(values[0] >= 0 && values[0] < batches, InputError,
               "row {}: batch index {} is outside [0, {}) (at most {} samples fit {}-dimensional coordinates)", row,
               values[0], batches, layout.max_batch(), layout.dims);
  for (int a = 0; a < layout.dims; ++a) {
    const std::int32_t v = values[1 + a];
    RAREFY_CHECK(
        v >= -layout.limit && v < layout.limit, InputError,
        "row {}: coordinate {} = {} is outside [{}, {}), the range of {}-dimensional coordinates: crop, shift, or use "
        "larger voxels",
        row, kAxisName[a], v, -layout.limit, layout.limit, layout.dims);
    RAREFY_CHECK(v % stride[a] == 0, InputError, "row {}: coordinate {} = {} is not a multiple of the stride {}", row,
                 kAxisName[a], v, stride[a]);
  }
}

std::int64_t count_batches(std::span<const std::int32_t> rows, std::int64_t width, std::int64_t max_batch) {
  std::int64_t last = -1;
  for (std::size_t i = 0; i < rows.size(); i += static_cast<std::size_t>(width)) {
    last = std::max<std::int64_t>(last, rows[i]);
  }
  return std::min(last + 1, max_batch);  // a larger index is reported with its row
}

}  // namespace

KeyLayout key_layout(int dims) {
  RAREFY_CHECK(dims >= 1 && dims <= kMaxDims, UsageError, "coordinates have 1 to {} dimensions, got {}", kMaxDims,
               dims);
  static constexpr int kBatchBits[] = {16, 12, 10, 8};
  static constexpr int kAxisBits[] = {32, 26, 18, 14};
  static constexpr int kGuardBits[] = {10, 10, 10, 8};
  KeyLayout layout;
  layout.dims = dims;
  layout.batch_bits = kBatchBits[dims - 1];
  layout.axis_bits = kAxisBits[dims - 1];
  layout.guard = std::int64_t{1} << kGuardBits[dims - 1];
  layout.limit = (std::int64_t{1} << (layout.axis_bits - 1)) - layout.guard;
  return layout;
}

std::uint64_t pack_key(const KeyLayout& layout, std::int64_t batch, const std::int32_t* position) {
  std::uint64_t key = static_cast<std::uint64_t>(batch);
  const std::int64_t bias = std::int64_t{1} << (layout.axis_bits - 1);
  for (int a = 0; a < layout.dims; ++a) {
    key = key << layout.axis_bits | static_cast<std::uint64_t>(position[a] + bias);
  }
  return key;
}

void unpack_key(const KeyLayout& layout, std::uint64_t key, std::int32_t* batch, std::int32_t* position) {
  const std::int64_t bias = std::int64_t{1} << (layout.axis_bits - 1);
  const std::uint64_t mask = (std::uint64_t{1} << layout.axis_bits) - 1;
  for (int a = layout.dims - 1; a >= 0; --a) {
    position[a] = static_cast<std::int32_t>(static_cast<std::int64_t>(key & mask) - bias);
    key >>= layout.axis_bits;
  }
  *batch = static_cast<std::int32_t>(key);
}

std::uint64_t key_delta(const KeyLayout& layout, const std::int32_t* delta) {
  std::uint64_t sum = 0;  // modulo 2^64: adding a negative number borrows from the fields above and gives it back
  for (int a = 0; a < layout.dims; ++a) {
    sum = (sum << layout.axis_bits) + static_cast<std::uint64_t>(static_cast<std::int64_t>(delta[a]));
  }
  return sum;
}

void make_coords(std::span<const std::int32_t> rows, int dims, const Extent& stride, std::int64_t batches, Coords& out,
                 std::vector<std::int32_t>* order) {
  const KeyLayout layout = key_layout(dims);
  const std::int64_t width = dims + 1;
  const auto size = static_cast<std::int64_t>(rows.size());
  RAREFY_CHECK(size % width == 0, UsageError, "coordinates of {} dimensions come in rows of {} values, got {} values",
               dims, width, size);
  const std::int64_t n = size / width;
  RAREFY_CHECK(n <= std::numeric_limits<std::int32_t>::max(), UsageError,
               "{} rows exceed the range of row indices (2^31 - 1)", n);
  for (int a = 0; a < dims; ++a) {
    RAREFY_CHECK(stride[a] >= 1, UsageError, "the stride along {} must be at least 1, got {}", kAxisName[a], stride[a]);
  }
  if (batches < 0) batches = count_batches(rows, width, layout.max_batch());
  RAREFY_CHECK(batches <= layout.max_batch(), UsageError,
               "{} samples exceed the {} that {}-dimensional coordinates can hold", batches, layout.max_batch(), dims);

  std::vector<std::uint64_t>& keys = out.scratch.unsorted;
  keys.resize(static_cast<std::size_t>(n));
  for (std::int64_t r = 0; r < n; ++r) {
    const std::int32_t* values = rows.data() + r * width;
    check_row(layout, stride, batches, r, values);
    keys[static_cast<std::size_t>(r)] = pack_key(layout, values[0], values + 1);
  }
  const KeyFields fields(layout);
  const KeyCompactor compactor(fields, bounding_box(fields, keys));
  for (auto& key : keys) key = compactor.compact(key);
  std::vector<std::uint64_t>& words = out.scratch.keys[0];
  sort_indices(keys, compactor.bits(), words, out.scratch.keys[1]);
  const std::uint64_t mask = (std::uint64_t{1} << index_bits(n)) - 1;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::uint64_t a = words[i - 1] & mask;
    const std::uint64_t b = words[i] & mask;
    RAREFY_CHECK(keys[a] != keys[b], InputError,
                 "rows {} and {} are the same site: coordinates must be free of duplicates", a, b);
  }
  out.dims = dims;
  out.stride = stride;
  out.keys.resize(words.size());
  if (order != nullptr) order->resize(words.size());
  for (std::size_t i = 0; i < words.size(); ++i) {
    out.keys[i] = compactor.expand(keys[words[i] & mask]);
    if (order != nullptr) (*order)[i] = static_cast<std::int32_t>(words[i] & mask);
  }
  set_batches(layout, batches, out);
}

void write_coords(const Coords& coords, std::int32_t* rows) {
  const KeyLayout layout = key_layout(coords.dims);
  for (std::size_t i = 0; i < coords.keys.size(); ++i) {
    std::int32_t* row = rows + i * static_cast<std::size_t>(coords.dims + 1);
    unpack_key(layout, coords.keys[i], row, row + 1);
  }
}

}  // namespace rarefy
