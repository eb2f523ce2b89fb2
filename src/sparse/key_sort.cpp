#include "sparse/key_sort.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace rarefy {
namespace {

constexpr int kDigitBits = 11;  // 2048 counters stay in L1
constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;
constexpr int kMaxPasses = (64 + kDigitBits - 1) / kDigitBits;
using Histogram = std::array<std::uint32_t, kDigits>;

}  // namespace

KeyFields::KeyFields(const KeyLayout& layout) : count(layout.dims + 1) {
  shift[0] = layout.dims * layout.axis_bits;
  mask[0] = (std::uint64_t{1} << layout.batch_bits) - 1;
  for (int a = 0; a < layout.dims; ++a) {
    shift[1 + a] = (layout.dims - 1 - a) * layout.axis_bits;
    mask[1 + a] = (std::uint64_t{1} << layout.axis_bits) - 1;
  }
}

KeyBox::KeyBox() {
  std::fill(std::begin(low), std::end(low), ~std::uint64_t{0});
  std::fill(std::begin(high), std::end(high), 0);
}

void KeyBox::add(const KeyBox& other) {
  for (int f = 0; f <= kMaxDims; ++f) {
    low[f] = std::min(low[f], other.low[f]);
    high[f] = std::max(high[f], other.high[f]);
  }
}

KeyBox bounding_box(const KeyFields& fields, std::span<const std::uint64_t> keys) {
  KeyBox box;
  for (const std::uint64_t key : keys) {
    for (int f = 0; f < fields.count; ++f) {
      const std::uint64_t v = fields.value(key, f);
      box.low[f] = std::min(box.low[f], v);
      box.high[f] = std::max(box.high[f], v);
    }
  }
  return box;
}

KeyCompactor::KeyCompactor(const KeyFields& fields, const KeyBox& box) : count_(fields.count) {
  if (box.empty()) return;
  for (int f = count_ - 1; f >= 0; --f) {
    const int width = std::bit_width(box.high[f] - box.low[f]);
    from_[f] = fields.shift[f];
    to_[f] = width == 0 ? 0 : bits_;  // a field that needs no bits must not shift by 64
    mask_[f] = (std::uint64_t{1} << width) - 1;
    base_ += box.low[f] << fields.shift[f];
    bits_ += width;
  }
}

void radix_sort(std::vector<std::uint64_t>& words, std::vector<std::uint64_t>& other, int first_bit, int bits) {
  if (bits <= 0 || words.size() < 2) return;
  const std::size_t n = words.size();
  other.resize(n);
  const int passes = (bits + kDigitBits - 1) / kDigitBits;
  const int width = (bits + passes - 1) / passes;
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  std::array<Histogram, kMaxPasses> counts;
  for (int p = 0; p < passes; ++p) std::fill_n(counts[p].begin(), mask + 1, 0u);
  for (const std::uint64_t word : words) {
    for (int p = 0; p < passes; ++p) ++counts[p][word >> (first_bit + p * width) & mask];
  }
  for (int p = 0; p < passes; ++p) {
    const int shift = first_bit + p * width;
    Histogram& start = counts[p];
    if (start[words[0] >> shift & mask] == n) continue;  // the digit never varies
    std::uint32_t sum = 0;
    for (std::size_t d = 0; d <= mask; ++d) sum += std::exchange(start[d], sum);
    const std::uint64_t* from = words.data();
    std::uint64_t* to = other.data();
    for (std::size_t i = 0; i < n; ++i) to[start[from[i] >> shift & mask]++] = from[i];
    words.swap(other);
  }
}

void sort_unique(const KeyLayout& layout, std::vector<std::uint64_t>& keys, std::vector<std::uint64_t>& other) {
  if (!std::is_sorted(keys.begin(), keys.end())) {
    const KeyFields fields(layout);
    const KeyCompactor compactor(fields, bounding_box(fields, keys));
    for (std::uint64_t& key : keys) key = compactor.compact(key);
    radix_sort(keys, other, 0, compactor.bits());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (std::uint64_t& key : keys) key = compactor.expand(key);
  } else {
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  }
}

int index_bits(std::int64_t n) { return n <= 1 ? 0 : std::bit_width(static_cast<std::uint64_t>(n - 1)); }

bool sort_indices(std::span<const std::uint64_t> keys, int key_bits, std::vector<std::uint64_t>& words,
                  std::vector<std::uint64_t>& other) {
  const int ibits = index_bits(static_cast<std::int64_t>(keys.size()));
  const std::uint64_t index_mask = (std::uint64_t{1} << ibits) - 1;
  const int room = 64 - ibits;  // key bits that fit beside an index
  const int low_bits = std::min(key_bits, room);
  const std::uint64_t low_mask = low_bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << low_bits) - 1;
  words.resize(keys.size());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    words[kept] = ibits == 64 ? i : (keys[i] & low_mask) << ibits | i;
    kept += keys[i] != kNoKey;
  }
  words.resize(kept);
  radix_sort(words, other, ibits, low_bits);
  for (int done = low_bits; done < key_bits; done += room) {  // stable: later rounds keep the order of earlier ones
    const int more = std::min(room, key_bits - done);
    for (std::uint64_t& word : words) {
      const std::uint64_t i = word & index_mask;
      word = keys[i] >> done << ibits | i;
    }
    radix_sort(words, other, ibits, more);
  }
  return key_bits <= room;
}

void set_batches(const KeyLayout& layout, std::int64_t batches, Coords& out) {
  const int shift = layout.dims * layout.axis_bits;
  out.batch_begin.resize(static_cast<std::size_t>(batches) + 1);
  auto from = out.keys.begin();
  out.batch_begin[0] = 0;
  for (std::int64_t b = 1; b <= batches; ++b) {
    // Compares batch indices: the first key of batch `max_batch` would not fit 64 bits.
    from = std::partition_point(from, out.keys.end(),
                                [&](std::uint64_t key) { return static_cast<std::int64_t>(key >> shift) < b; });
    out.batch_begin[static_cast<std::size_t>(b)] = from - out.keys.begin();
  }
}

}  // namespace rarefy
