#include <algorithm>
#include <array>
#include <span>

#include "base/check.h"
#include "kernels/cpu/conv/panels.h"

namespace rarefy {

using conv_cpu::GradientJob;
using conv_cpu::Panels;

namespace {

constexpr std::int64_t kBlock = KernelMap::kBlockRows;
/// Pairs whose rows are multiplied together: few enough that their cache lines stay in L1.
constexpr std::int64_t kChunk = 48;

void check_shapes(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> gy, const KernelMap* map,
                  std::int64_t volume) {
  RAREFY_CHECK(runs_here(variant), UnsupportedError, "kernel variant {} needs instructions that this CPU lacks",
               variant.name);
  RAREFY_CHECK(x.cols >= 1 && gy.cols >= 1, ShapeError, "weight gradient of {} input and {} output channels", x.cols,
               gy.cols);
  if (map == nullptr) {
    RAREFY_CHECK(volume == 1, ShapeError, "a convolution without a kernel map has one offset, not {}", volume);
    RAREFY_CHECK(x.rows == gy.rows, ShapeError, "a linear layer keeps its rows: input has {}, output gradient {}",
                 x.rows, gy.rows);
    return;
  }
  RAREFY_CHECK(volume == map->volume, ShapeError, "weights have {} offsets, the kernel map {}", volume, map->volume);
  RAREFY_CHECK(x.rows == map->in_rows && gy.rows == map->out_rows, ShapeError,
               "the kernel map goes from {} rows to {}, features from {} to {}", map->in_rows, map->out_rows, x.rows,
               gy.rows);
}

/// Pairs of one offset whose rows are multiplied together.
struct Chunk {
  std::array<const float*, kChunk> x;
  std::array<const float*, kChunk> gy;
  std::int64_t count = 0;
  float* gw = nullptr;  ///< sum of the offset
};

/// How the work is cut into parts: a function of the map and the channels alone, so that bits do not depend on threads.
/// Blocked: a part takes all offsets of its rows, group of blocks by group, so that rows are fetched into L2 once
/// instead of once per offset; on demand: it takes one offset.
struct Cut {
  std::int64_t blocks;
  std::int64_t offsets;  ///< of a part: all or 1
  std::int64_t group;    ///< blocks whose rows stay in L2

  Cut(Dataflow dataflow, std::int64_t blocks_, std::int64_t volume, std::int64_t in, std::int64_t out)
      : blocks(blocks_) {
    constexpr std::int64_t kRowBytes = 512 * 1024;
    offsets = dataflow == Dataflow::blocked ? volume : 1;
    group = offsets == 1 ? std::max<std::int64_t>(1, blocks)
                         : std::max<std::int64_t>(1, kRowBytes / (kBlock * (in + out) * 4));
  }

  /// Slices of the blocks for offsets with `pairs` of `total` pairs: enough that no part is more than a small share of
  /// the work, few enough that adding up their sums is a small share too.
  std::int64_t slices(std::int64_t pairs, std::int64_t total) const {
    constexpr std::int64_t kParts = 32;
    const std::int64_t least = offsets == 1 ? 1024 : 512 * offsets;
    const std::int64_t share = std::max(least, (total + kParts - 1) / kParts);
    return std::clamp<std::int64_t>((pairs + share / 2) / share, 1, std::max<std::int64_t>(1, blocks));
  }
};

/// Blocked while all sums [K, C_in, C_out] fit into a share of L2.
Dataflow settled(Dataflow wanted, std::int64_t volume, std::int64_t in, std::int64_t out) {
  constexpr std::int64_t kSumBytes = 512 * 1024;
  RAREFY_CHECK(wanted != Dataflow::stationary, UsageError,
               "weight gradients have no stationary dataflow: automatic, blocked or on_demand");
  if (wanted != Dataflow::automatic) return wanted;
  return volume * in * out * static_cast<std::int64_t>(sizeof(float)) <= kSumBytes ? Dataflow::blocked
                                                                                   : Dataflow::on_demand;
}

struct Part {
  std::int64_t k;  ///< first offset
  std::int64_t slice;
  std::int64_t slices;
  float* gw;  ///< where its sums go: the result itself, or a partial sum
};

/// What all parts of one call share.
struct GradientRun {
  Matrix<const float> x;
  Matrix<const float> gy;
  const KernelMap* map;
  Panels panels;
  const conv_cpu::ConvKernels& kernels;

  std::int64_t blocks() const { return (gy.rows + kBlock - 1) / kBlock; }
  std::int64_t size() const { return x.cols * gy.cols; }

  std::int64_t pairs_of(std::int64_t k, std::int64_t offsets) const {
    if (map == nullptr) return gy.rows;
    std::int64_t sum = 0;
    for (std::int64_t b = 0; b < blocks(); ++b) {
      const std::int64_t* range = map->begin.data() + b * map->volume + k;
      sum += range[offsets] - range[0];
    }
    return sum;
  }

  /// Asks for the row numbers of share k of `shares` of blocks [first, last): they are read offset by offset, in
  /// small pieces that no hardware guesses.
  void prefetch_pairs(std::int64_t first, std::int64_t last, std::int64_t k, std::int64_t shares) const {
    constexpr std::int64_t kLine = 16;  // row numbers
    const std::int64_t begin = map->begin[static_cast<std::size_t>(first * map->volume)];
    const std::int64_t count = map->begin[static_cast<std::size_t>(last * map->volume)] - begin;
    for (std::int64_t p = begin + count * k / shares; p < begin + count * (k + 1) / shares; p += kLine) {
      __builtin_prefetch(map->in_row.data() + p);
      __builtin_prefetch(map->out_row.data() + p);
    }
  }

  void run(const Part& part, const Cut& cut) const;
};

/// Collects pairs into chunks. Works one chunk behind: while a chunk is multiplied, the rows of the next one are on
/// their way into the cache.
class ChunkQueue {
 public:
  explicit ChunkQueue(const GradientRun& run) : run_(run) {}

  /// Pairs that follow go to `gw`.
  void begin(float* gw) {
    flush();
    gw_ = gw;
  }

  template <class InRow, class OutRow>
  void add(std::int64_t count, const InRow& in_row, const OutRow& out_row) {
    for (std::int64_t p = 0; p < count;) {
      Chunk& c = chunks_[now_];
      c.gw = gw_;
      const std::int64_t more = std::min(count - p, kChunk - c.count);
      const float **to_x = c.x.data() + c.count, **to_gy = c.gy.data() + c.count;
      const Matrix<const float> x = run_.x, gy = run_.gy;  // copies: the stores could change what is behind run_
      for (std::int64_t i = 0; i < more; ++i) {
        to_x[i] = x.row(in_row(p + i));
        to_gy[i] = gy.row(out_row(p + i));
      }
      p += more;
      c.count += more;
      if (c.count == kChunk) flush();
    }
  }

  void end() {
    flush();
    multiply(chunks_[1 - now_], chunks_[1 - now_]);
  }

 private:
  /// The present chunk is complete.
  void flush() {
    if (chunks_[now_].count == 0) return;
    now_ = 1 - now_;
    multiply(chunks_[now_], chunks_[1 - now_]);
  }

  void multiply(Chunk& chunk, Chunk& next) const {
    if (chunk.count == 0) return;
    for (std::int64_t i = next.count; i < chunk.count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      next.x[at] = chunk.x[at];
      next.gy[at] = chunk.gy[at];
    }
    const std::array<const float*, kChunk> next_gy = next.gy;  // gy of `chunk` moves from panel to panel below
    const Panels& panels = run_.panels;
    GradientJob job{};
    job.x = chunk.x.data();
    job.gy = chunk.gy.data();
    job.count = chunk.count;
    job.next_x = next.x.data();
    job.next_gy = next_gy.data();
    job.gy_channels = run_.gy.cols;
    job.in_channels = run_.x.cols;
    job.gw_stride = run_.gy.cols;
    for (std::int64_t p = 0; p < panels.count; ++p) {
      job.gy_first = panels.first_channel(p);
      job.gw = chunk.gw + job.gy_first;
      job.vectors = panels.vectors_of(p);
      job.tail = panels.tail_of(p);
      run_.kernels.weight_gradient(job);
      const std::int64_t step = panels.vectors_of(p) * panels.lanes;
      for (std::int64_t i = 0; p + 1 < panels.count && i < chunk.count; ++i)
        chunk.gy[static_cast<std::size_t>(i)] += step;
    }
    chunk.count = 0;
  }

  const GradientRun& run_;
  std::array<Chunk, 2> chunks_;
  std::size_t now_ = 0;
  float* gw_ = nullptr;
};

/// gw = sums over the pairs of the part's offsets in the blocks of its slice.
void GradientRun::run(const Part& part, const Cut& cut) const {
  std::fill(part.gw, part.gw + cut.offsets * size(), 0.0f);
  const std::int64_t end = cut.blocks * (part.slice + 1) / part.slices;
  ChunkQueue queue(*this);
  for (std::int64_t first = cut.blocks * part.slice / part.slices; first < end; first += cut.group) {
    const std::int64_t last = std::min(end, first + cut.group);
    for (std::int64_t k = 0; k < cut.offsets; ++k) {
      queue.begin(part.gw + k * size());
      if (map != nullptr && last < end) prefetch_pairs(last, std::min(end, last + cut.group), k, cut.offsets);
      for (std::int64_t b = first; b < last; ++b) {
        if (map == nullptr) {
          const auto row = [&](std::int64_t p) { return b * kBlock + p; };
          queue.add(std::min(kBlock, gy.rows - b * kBlock), row, row);
          continue;
        }
        const std::int64_t* range = map->begin.data() + b * map->volume + part.k + k;
        const std::int32_t *in = map->in_row.data() + range[0], *out = map->out_row.data() + range[0];
        const auto in_row = [=](std::int64_t p) { return in[p]; };
        const auto out_row = [=](std::int64_t p) { return out[p]; };
        queue.add(range[1] - range[0], in_row, out_row);
      }
    }
  }
  queue.end();
}

/// Adds the partial sums [size] of the parts to those of each first slice, in the order of the slices.
void add_partial_sums(std::span<const Part> parts, std::int64_t size, Executor& executor) {
  constexpr std::int64_t kRange = 4096;
  executor.parallel_for((size + kRange - 1) / kRange, [&](std::int64_t range, int) {
    const std::int64_t begin = range * kRange;
    const std::int64_t end = std::min(size, begin + kRange);
    float* sum = nullptr;
    for (const Part& part : parts) {
      if (part.slice == 0) {
        sum = part.gw;
        continue;
      }
      for (std::int64_t j = begin; j < end; ++j) sum[j] += part.gw[j];
    }
  });
}

}  // namespace

Dataflow conv_weight_gradient(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y_gradient,
                              const KernelMap* map, std::int64_t volume, Executor& executor, AlignedBuffer& scratch,
                              float* weight_gradient, Dataflow wanted) {
  check_shapes(variant, x, y_gradient, map, volume);
  const Dataflow dataflow = settled(wanted, volume, x.cols, y_gradient.cols);
  const GradientRun run{x, y_gradient, map, Panels(*variant.kernels, y_gradient.cols), *variant.kernels};
  const Cut cut(dataflow, run.blocks(), volume, x.cols, y_gradient.cols);
  const std::int64_t size = cut.offsets * run.size();

  // Sizes first, so that one reservation holds the list of parts and all partial sums.
  const std::int64_t total = map == nullptr ? y_gradient.rows : map->pairs();
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < volume; k += cut.offsets) count += cut.slices(run.pairs_of(k, cut.offsets), total);
  const std::int64_t partials = count - volume / cut.offsets;
  const std::int64_t list_floats = (count * static_cast<std::int64_t>(sizeof(Part)) + 63) / 64 * 16;
  float* memory = scratch.reserve_for<float>(list_floats + partials * size);
  const std::span<Part> parts(reinterpret_cast<Part*>(memory), static_cast<std::size_t>(count));
  float* partial = memory + list_floats;
  std::size_t next = 0;
  for (std::int64_t k = 0; k < volume; k += cut.offsets) {
    const std::int64_t slices = cut.slices(run.pairs_of(k, cut.offsets), total);
    for (std::int64_t s = 0; s < slices; ++s) {
      parts[next++] = {k, s, slices, s == 0 ? weight_gradient + k * run.size() : partial};
      if (s > 0) partial += size;
    }
  }
  executor.parallel_for(count, [&](std::int64_t i, int) { run.run(parts[static_cast<std::size_t>(i)], cut); });
  if (partials > 0) add_partial_sums(parts, size, executor);
  return dataflow;
}

}  // namespace rarefy
