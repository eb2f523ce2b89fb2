#pragma once
/// Kernel maps: which input row meets which output row under which kernel offset.
#include <cstdint>
#include <span>
#include <vector>

#include "rarefy/executor.h"
#include "sparse/coords.h"
#include "sparse/sorted_tiles.h"

namespace rarefy {

/// Where an even kernel, and a strided convolution, put their outputs.
enum class CoordinateRule : std::uint8_t {
  block,   ///< as MinkowskiEngine (default): output site = floor(site / s) * s; even kernels cover [0, k), odd ones are
           ///< centred
  padded,  ///< as spconv and dense convolution: output o (in units of its stride) reads o * s + k * dilation - padding
};

/// Geometry of one convolution. Extents per axis; entries beyond dims are ignored.
struct KernelShape {
  int dims = 3;
  Extent size{3, 3, 3, 1};      ///< 1..7
  Extent stride{1, 1, 1, 1};    ///< >= 1
  Extent dilation{1, 1, 1, 1};  ///< >= 1
  Extent padding{0, 0, 0, 0};   ///< padded rule only (must be 0 under the block rule); >= 0
  CoordinateRule rule = CoordinateRule::block;
  /// Padded rule: downsample keeps outputs from 0 to cells - 1 (in units of their stride) along the axis, as on a dense
  /// grid; 0 = all.
  Extent cells{0, 0, 0, 0};
  /// If not empty, the kernel is this list of offsets instead of the box of `size`: dims numbers each, one offset after
  /// another. The caller's memory, which must outlive the shape.
  std::span<const std::int64_t> offsets = {};

  /// K: product of the sizes, or the number of listed offsets.
  std::int64_t volume() const;
  /// Offset k (of a box: lexicographic, last axis fastest) in units of the input's stride, before any multiplication by
  /// it. Block rule: odd sizes run -(size-1)/2 .. (size-1)/2, even ones 0 .. size-1, listed ones as they are, times
  /// dilation. Padded rule: 0 .. size-1 or as listed, times dilation, minus padding.
  Extent offset(std::int64_t k) const;
};
/// @throws ShapeError naming axis and value when a field is out of range, or the reach at `in_stride` exceeds the
/// guard.
void check_kernel(const KernelShape& kernel, const Extent& in_stride);

/// What the functions below need to know of a set of sites to check it.
struct SiteShape {
  int dims = 3;
  Extent stride{1, 1, 1, 1};
  std::int64_t rows = 0;
};
/// The stride of what downsample makes. @throws ShapeError as downsample.
Extent downsampled_stride(const SiteShape& in, const KernelShape& kernel);
/// The stride of what generate makes. @throws ShapeError as generate.
Extent generated_stride(const SiteShape& in, const KernelShape& kernel);
/// @throws ShapeError as build_kernel_map.
void check_kernel_map(const SiteShape& in, const SiteShape& out, const KernelShape& kernel);

/// Working memory of build_kernel_map. A copy of a map does not copy it.
struct KernelMapScratch {
  KernelMapScratch() = default;
  KernelMapScratch(const KernelMapScratch&) {}
  KernelMapScratch(KernelMapScratch&&) noexcept = default;
  KernelMapScratch& operator=(const KernelMapScratch&) { return *this; }
  KernelMapScratch& operator=(KernelMapScratch&&) noexcept = default;
  std::vector<std::uint64_t> keys;                     ///< of the input, and a sentinel
  std::vector<std::vector<std::uint64_t>> candidates;  ///< per run of offsets: output row (high half) and input row
  std::vector<std::size_t> candidate_count;            ///< per run: how many of the list above are meant
};

/// Pairs (input row, output row, offset) of one sparse convolution, in the order that the kernels consume:
/// by block of output rows, then by offset, then by output row. Pairs of block b and offset k are
/// [begin[b * K + k], begin[b * K + k + 1]).
struct KernelMap {
  static constexpr std::int64_t kBlockRows = 256;  ///< output rows of a block; their accumulators stay in L2
  std::int64_t in_rows = 0;
  std::int64_t out_rows = 0;
  std::int64_t volume = 0;            ///< K
  std::vector<std::int32_t> in_row;   ///< [P]
  std::vector<std::int32_t> out_row;  ///< [P]
  std::vector<std::int64_t> begin;    ///< [blocks * K + 1]
  SortedTiles tiles;                  ///< the same pairs by sorted rows; empty unless sort_tiles was called
  KernelMapScratch scratch;

  std::int64_t blocks() const { return (out_rows + kBlockRows - 1) / kBlockRows; }
  std::int64_t pairs() const { return static_cast<std::int64_t>(in_row.size()); }
  /// Memory held, working memory included.
  std::int64_t memory_bytes() const;
};

/// Sites of a strided convolution's output (or of a pooling): sorted, at stride in.stride * kernel.stride.
/// Block rule: floor(site / s) * s, s the new stride. Padded rule: every o for which some input o * s + offset exists
/// (coordinates are unbounded unless `cells` says otherwise; negative sites are ordinary). Pictures:
/// docs/coordinates.md. `out` must not be `in`. @throws ShapeError; InputError when an output site leaves the range of
/// valid coordinates (named).
void downsample(const Coords& in, const KernelShape& kernel, Executor& executor, Coords& out);

/// Sites that a generative transposed convolution creates from `in` (at stride in.stride / kernel.stride): all
/// o * s + offset of all sites o. The map of that convolution is build_kernel_map(out, in, ...), transposed.
/// @throws ShapeError unless in.stride is divisible by kernel.stride; InputError as downsample.
void generate(const Coords& in, const KernelShape& kernel, Executor& executor, Coords& out);

/// Map of a convolution that reads `in` and writes `out`: pairs with in = out_site + offset * in.stride (block rule:
/// out sites are in finest units already; padded rule: likewise, the padding is in the offset). Submanifold: pass the
/// same Coords twice, with odd sizes (even ones start at 0, are not symmetric, and work too). Any `out` of the caller's
/// is allowed (stride >= in.stride), on the grid of in.stride or not: what does not meet has no pair. Identical for any
/// executor; for each offset, input rows and output rows ascend together.
/// @throws ShapeError: check_kernel; dimensions differ; out.stride < in.stride; more rows than int32 can number.
/// Cost: O((N_in + N_out) * K / size of the last axis) steps of a merge, half of that when in and out are the same
/// sites and the offsets are symmetric; no allocation once the vectors have grown. Parallel over groups of offsets.
void build_kernel_map(const Coords& in, const Coords& out, const KernelShape& kernel, Executor& executor,
                      KernelMap& map);

/// The same pairs with input and output exchanged, offsets kept: map of a transposed (inverse) convolution over its
/// forward layer's map, and what the input gradient runs on. `out` must not be `map`. Needs what build_kernel_map
/// promises: for each offset, rows ascend together.
void transpose_map(const KernelMap& map, Executor& executor, KernelMap& out);

}  // namespace rarefy
