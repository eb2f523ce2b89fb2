#include <algorithm>
#include <array>

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

struct Chunk {
  std::array<const float*, kChunk> x;
  std::array<const float*, kChunk> gy;
  std::size_t count = 0;
};

/// The pairs of one offset, in slices of whole blocks; a function of the map alone.
struct GradientRun {
  Matrix<const float> x;
  Matrix<const float> gy;
  const KernelMap* map;
  Panels panels;
  const conv_cpu::ConvKernels& kernels;

  std::int64_t blocks() const { return (gy.rows + kBlock - 1) / kBlock; }

  std::int64_t pairs_of(std::int64_t k) const {
    if (map == nullptr) return gy.rows;
    std::int64_t sum = 0;
    for (std::int64_t b = 0; b < blocks(); ++b) {
      const std::int64_t* range = map->begin.data() + b * map->volume + k;
      sum += range[1] - range[0];
    }
    return sum;
  }

  /// gw[k] = sum over the pairs of offset k in blocks [first, last).
  void slice(std::int64_t k, std::int64_t first, std::int64_t last, float* gw) const {
    std::fill(gw, gw + x.cols * gy.cols, 0.0f);
    // Two chunks: while one is multiplied, the rows of the other are on their way into the cache.
    std::array<Chunk, 2> chunks;
    std::size_t now = 0;
    const auto add = [&](std::int64_t count, const auto& in_row, const auto& out_row) {
      for (std::int64_t p = 0; p < count;) {
        Chunk& c = chunks[now];
        const std::int64_t end = std::min(count, p + kChunk - static_cast<std::int64_t>(c.count));
        for (; p < end; ++p, ++c.count) {
          c.x[c.count] = x.row(in_row(p));
          c.gy[c.count] = gy.row(out_row(p));
        }
        if (c.count < kChunk) return;
        now = 1 - now;
        multiply(chunks[now], chunks[1 - now], gw);
      }
    };
    for (std::int64_t b = first; b < last; ++b) {
      if (map == nullptr) {
        const auto row = [&](std::int64_t p) { return b * kBlock + p; };
        add(std::min(kBlock, gy.rows - b * kBlock), row, row);
      } else {
        const std::int64_t* range = map->begin.data() + b * map->volume + k;
        const std::int32_t *in = map->in_row.data() + range[0], *out = map->out_row.data() + range[0];
        add(
            range[1] - range[0], [=](std::int64_t p) { return in[p]; }, [=](std::int64_t p) { return out[p]; });
      }
    }
    multiply(chunks[1 - now], chunks[now], gw);
    multiply(chunks[now], chunks[now], gw);
  }

  void multiply(Chunk& chunk, Chunk& next, float* gw) const {
    if (chunk.count == 0) return;
    for (std::size_t i = next.count; i < chunk.count; ++i) {
      next.x[i] = chunk.x[i];
      next.gy[i] = chunk.gy[i];
    }
    const std::array<const float*, kChunk> next_gy = next.gy;  // gy of `chunk` moves from panel to panel below
    GradientJob job{};
    job.x = chunk.x.data();
    job.gy = chunk.gy.data();
    job.count = static_cast<std::int64_t>(chunk.count);
    job.next_x = next.x.data();
    job.next_gy = next_gy.data();
    job.gy_channels = gy.cols;
    job.in_channels = x.cols;
    job.gw_stride = gy.cols;
    for (std::int64_t p = 0; p < panels.count; ++p) {
      job.gy_first = panels.first_channel(p);
      job.gw = gw + job.gy_first;
      job.vectors = panels.vectors_of(p);
      job.tail = panels.tail_of(p);
      kernels.weight_gradient(job);
      const std::int64_t step = panels.vectors_of(p) * panels.lanes;
      for (std::size_t i = 0; p + 1 < panels.count && i < chunk.count; ++i) chunk.gy[i] += step;
    }
    chunk.count = 0;
  }
};

/// Slices of offset k: enough of them that no part is more than a small share of the work.
std::int64_t slices_of(std::int64_t pairs, std::int64_t total, std::int64_t blocks) {
  constexpr std::int64_t kParts = 32;
  constexpr std::int64_t kLeastPairs = 1024;
  const std::int64_t share = std::max(kLeastPairs, (total + kParts - 1) / kParts);
  return std::clamp<std::int64_t>((pairs + share / 2) / share, 1, std::max<std::int64_t>(1, blocks));
}

struct Part {
  std::int64_t k;
  std::int64_t slice;
  std::int64_t slices;
  float* gw;  ///< where its sum goes: the result itself, or a partial sum
};

}  // namespace

void conv_weight_gradient(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y_gradient,
                          const KernelMap* map, std::int64_t volume, Executor& executor, AlignedBuffer& scratch,
                          float* weight_gradient) {
  check_shapes(variant, x, y_gradient, map, volume);
  const std::int64_t size = x.cols * y_gradient.cols;
  const GradientRun run{x, y_gradient, map, Panels(*variant.kernels, y_gradient.cols), *variant.kernels};
  const std::int64_t blocks = run.blocks();

  // Sizes first, so that one reservation holds the list of parts and all partial sums.
  const std::int64_t total = map == nullptr ? y_gradient.rows : map->pairs();
  std::int64_t parts = 0;
  std::int64_t partials = 0;
  for (std::int64_t k = 0; k < volume; ++k) {
    const std::int64_t slices = slices_of(run.pairs_of(k), total, blocks);
    parts += slices;
    partials += slices - 1;
  }
  const std::int64_t part_floats = (parts * static_cast<std::int64_t>(sizeof(Part)) + 63) / 64 * 16;
  float* memory = scratch.reserve_for<float>(part_floats + partials * size);
  Part* list = reinterpret_cast<Part*>(memory);
  float* partial = memory + part_floats;
  std::int64_t next = 0;
  for (std::int64_t k = 0; k < volume; ++k) {
    const std::int64_t slices = slices_of(run.pairs_of(k), total, blocks);
    for (std::int64_t s = 0; s < slices; ++s) {
      list[next++] = {k, s, slices, s == 0 ? weight_gradient + k * size : partial};
      if (s > 0) partial += size;
    }
  }
  executor.parallel_for(parts, [&](std::int64_t i, int) {
    const Part& p = list[i];
    run.slice(p.k, blocks * p.slice / p.slices, blocks * (p.slice + 1) / p.slices, p.gw);
  });
  if (partials == 0) return;
  // Partial sums are added in the order of their slices.
  constexpr std::int64_t kRange = 4096;
  const std::int64_t ranges = (size + kRange - 1) / kRange;
  executor.parallel_for(ranges, [&](std::int64_t range, int) {
    const std::int64_t begin = range * kRange;
    const std::int64_t end = std::min(size, begin + kRange);
    for (std::int64_t i = 0; i < parts; ++i) {
      if (list[i].slice == 0) continue;
      float* sum = weight_gradient + list[i].k * size;
      for (std::int64_t j = begin; j < end; ++j) sum[j] += list[i].gw[j];
    }
  });
}

}  // namespace rarefy
