#include "sparse/site_order.h"

#include <algorithm>

#include "base/check.h"
#include "sparse/key_sort.h"
#include "sparse/morton.h"

namespace rarefy {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// The finaliser of splitmix64.
std::uint64_t mixed(std::uint64_t v) {
  v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
  v = (v ^ v >> 27) * 0x94d049bb133111ebu;
  return v ^ v >> 31;
}

/// Fills hashes and, for codes, positions along Morton's curve in units of the stride.
void look_at_sites(const Coords& coords, std::uint64_t seed, bool codes, SiteOrderScratch& s) {
  const KeyLayout layout = key_layout(coords.dims);
  const MortonSpreader spread(coords.dims);
  const std::int64_t zero = std::int64_t{1} << (layout.axis_bits - 1);  // cells begin at the origin, codes are positive
  s.hash.resize(coords.keys.size());
  s.code.resize(codes ? coords.keys.size() : 0);
  for (std::size_t r = 0; r < coords.keys.size(); ++r) {
    std::int32_t batch = 0, position[kMaxDims] = {};
    unpack_key(layout, coords.keys[r], &batch, position);
    std::uint64_t h = seed, code = 0;
    for (int a = 0; a < coords.dims; ++a) {
      h = mixed(h + 0x9e3779b97f4a7c15u + static_cast<std::uint32_t>(position[a]));
      if (!codes) continue;
      const std::int64_t index = position[a] / coords.stride[at(a)] + zero;  // exact: a multiple
      code |= spread(static_cast<std::uint64_t>(index)) << (coords.dims - 1 - a);
    }
    s.hash[r] = static_cast<std::uint32_t>(h >> 32);
    if (codes) s.code[r] = code;
  }
}

/// Rows [first, end) of one sample in the order of their codes, in s.best.
void sort_along_curve(std::int64_t first, std::int64_t end, SiteOrderScratch& s) {
  const std::span<const std::uint64_t> codes(s.code.data() + first, at(end - first));
  std::uint64_t varies = 0;
  for (const std::uint64_t code : codes) varies |= code ^ codes[0];
  const int bits = std::bit_width(varies);
  const std::uint64_t mask = bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  s.masked.assign(codes.begin(), codes.end());
  for (std::uint64_t& code : s.masked) code &= mask;
  (void)sort_indices(s.masked, bits, s.words, s.other);
  const std::uint64_t index_mask = (std::uint64_t{1} << index_bits(end - first)) - 1;
  s.best.resize(codes.size());
  for (std::size_t i = 0; i < s.best.size(); ++i)
    s.best[i] = static_cast<std::int32_t>(first + static_cast<std::int64_t>(s.words[i] & index_mask));
}

/// Keeps in s.best who stands for each cell of 2^level sites.
void compete(int level, int dims, SiteOrderScratch& s) {
  std::size_t left = 0;
  for (std::size_t i = 0; i < s.best.size();) {
    std::size_t best = i, end = i + 1;
    const std::uint64_t cell = s.code[at(s.best[i])];
    for (; end < s.best.size() && common_level(cell, s.code[at(s.best[end])], dims) <= level; ++end)
      if (s.hash[at(s.best[end])] > s.hash[at(s.best[best])]) best = end;
    s.best[left++] = s.best[best];
    i = end;
  }
  s.best.resize(left);
}

}  // namespace

void site_order(const Coords& coords, SiteOrder order, std::uint64_t seed, SiteOrderScratch& s, std::span<float> out) {
  RAREFY_CHECK(out.size() == coords.keys.size(), UsageError, "site order: room for {} numbers, there are {} sites",
               out.size(), coords.keys.size());
  look_at_sites(coords, seed, order == SiteOrder::spread, s);
  // 20 bits of the hash: with the level before the point they fit a float exactly.
  for (std::size_t r = 0; r < out.size(); ++r) out[r] = static_cast<float>(s.hash[r] >> 12) * 0x1p-20f;
  if (order == SiteOrder::random) return;
  for (std::int64_t b = 0; b < coords.batches(); ++b) {
    const std::int64_t first = coords.batch_begin[at(b)], end = coords.batch_begin[at(b) + 1];
    if (first == end) continue;
    sort_along_curve(first, end, s);
    for (int level = 1; level <= kSpreadLevels; ++level) {
      compete(level, coords.dims, s);
      for (const std::int32_t row : s.best) out[at(row)] += 1.0f;
    }
  }
}

}  // namespace rarefy
