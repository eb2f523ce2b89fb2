// The dataflows of a convolution, part by part.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/check.h"
#include "kernels/cpu/conv/forward_run.h"
#include "kernels/cpu/conv/partition.h"

namespace rarefy::conv_cpu {
namespace {

/// Stands for rows that a sorted tile lacks.
constexpr std::array<float, kMostStationaryChannels> kZeros{};

/// Pairs of one offset, collected over blocks until they fill a batch. Two batches, so that each job knows the next.
class PairBatches {
 public:
  /// f(pairs, the next pairs, their offset) for each batch, in order.
  template <class F>
  void add(const Pairs& pairs, std::int64_t k, const F& f) {
    for (std::int64_t done = 0; done < pairs.count;) {
      if (batch_[now_].count == kBatch || (batch_[now_].count > 0 && batch_[now_].k != k)) turn(f);
      Batch& to = batch_[now_];
      to.k = k;
      const std::int64_t more = std::min(pairs.count - done, kBatch - to.count);
      std::copy(pairs.in_row + done, pairs.in_row + done + more, to.in_row.begin() + to.count);
      std::copy(pairs.out_row + done, pairs.out_row + done + more, to.out_row.begin() + to.count);
      to.count += more;
      done += more;
    }
  }

  template <class F>
  void end(const F& f) {
    turn(f);
    turn(f);
  }

 private:
  static constexpr std::int64_t kBatch = 240;  // whole tiles of 6 and of 8 rows
  struct Batch {
    std::array<std::int32_t, kBatch> in_row, out_row;
    std::int64_t count = 0;
    std::int64_t k = 0;
    Pairs pairs() const { return {in_row.data(), out_row.data(), count}; }
  };

  /// Hands over the batch before the present one, which becomes the next to fill.
  template <class F>
  void turn(const F& f) {
    Batch& before = batch_[1 - now_];
    if (before.count > 0) f(before.pairs(), batch_[now_].pairs(), before.k);
    before.count = 0;
    now_ = 1 - now_;
  }

  std::array<Batch, 2> batch_;
  std::size_t now_ = 0;
};

}  // namespace

bool all_finite(const PackedWeights& weights) {
  const auto* w = static_cast<const float*>(weights.data.data());
  const Panels panels(*weights.variant->kernels, weights.out_channels);
  const std::int64_t size = weights.volume * weights.in_channels * panels.padded_channels();
  return std::all_of(w, w + size, [](float value) { return std::isfinite(value); });
}

Ending ForwardRun::ending() const {
  switch (epilogue.activation) {
    case Activation::none:
      return Ending::none;
    case Activation::relu:
      return Ending::relu;
    case Activation::leaky_relu:
      return Ending::leaky_relu;
  }
  return Ending::none;
}

PanelJob ForwardRun::job() const {
  PanelJob j{};
  j.x = x.data;
  j.x_stride = x.row_stride;
  j.y = y.data;
  j.y_stride = y.row_stride;
  j.start = y.data;
  j.start_stride = y.row_stride;
  j.in_channels = weights.in_channels;
  j.slope = epilogue.slope;
  return j;
}

/// A job whose sums start from the bias or the residual (not both) or from zero.
PanelJob ForwardRun::starting_job() const {
  PanelJob j = job();
  if (epilogue.residual.data != nullptr) {
    j.start = epilogue.residual.data;
    j.start_stride = epilogue.residual.row_stride;
  } else {
    j.start = epilogue.bias;
    j.start_stride = 0;
  }
  return j;
}

/// Rows [begin, end) start as bias + residual.
void ForwardRun::begin_rows(std::int64_t begin, std::int64_t end) const {
  const std::int64_t first = first_column(), n = end_column() - first;
  const float* bias = epilogue.bias == nullptr ? nullptr : epilogue.bias + first;
  for (std::int64_t r = begin; r < end; ++r) {
    float* to = y.row(r) + first;
    if (epilogue.residual.data != nullptr) {
      const float* from = epilogue.residual.row(r) + first;
      if (bias != nullptr) {
        for (std::int64_t c = 0; c < n; ++c) to[c] = from[c] + bias[c];
      } else if (from != to) {
        std::copy(from, from + n, to);
      }
    } else if (bias != nullptr) {
      std::copy(bias, bias + n, to);
    } else {
      std::fill(to, to + n, 0.0f);
    }
  }
}

/// The panels of the pairs of offset k.
void ForwardRun::multiply(PanelJob job, std::int64_t k) const {
  // Output rows of an offset ascend strictly.
  RAREFY_ASSERT(std::adjacent_find(job.pairs.out_row, job.pairs.out_row + job.pairs.count, std::greater_equal<>()) ==
                job.pairs.out_row + job.pairs.count);
  const float* const w = weights_of(k);
  const float* const start = job.start;
  float* const y0 = job.y;
  const Pairs next = job.next;
  for (std::int64_t p = first_panel; p < end_panel; ++p) {
    const std::int64_t first = panels.first_channel(p);
    job.weights = w + first * weights.in_channels;
    job.y = y0 + first;
    job.start = start == nullptr ? nullptr : start + first;
    job.vectors = panels.vectors_of(p);
    job.tail = panels.tail_of(p);
    job.next = p + 1 < end_panel ? Pairs{} : next;
    kernels().forward(job);
  }
}

void ForwardRun::linear(std::int64_t begin, std::int64_t end) const {
  PanelJob j = job();
  j.ending = ending();
  const bool both = bias_and_residual();
  if (both) begin_rows(begin, end);
  for (std::int64_t r = begin; r < end; r += kBlock) {
    j.x = x.row(r);
    j.y = y.row(r);
    if (both) {
      j.start = j.y;
    } else if (epilogue.residual.data != nullptr) {
      j.start = epilogue.residual.row(r);
      j.start_stride = epilogue.residual.row_stride;
    } else {
      j.start = epilogue.bias;
      j.start_stride = 0;
    }
    j.pairs = {kIdentity.data(), kIdentity.data(), std::min(kBlock, end - r)};
    multiply(j, 0);
  }
}

/// Blocks [first, last) start as bias + residual, plus the products of the offset that covers all rows.
void ForwardRun::begin_blocks(std::int64_t first, std::int64_t last) const {
  const std::int64_t begin = first * kBlock, end = std::min(last * kBlock, y.rows);
  const bool both = bias_and_residual();
  if (both || start_offset < 0) begin_rows(begin, end);
  if (start_offset < 0) return;
  PanelJob j = both ? job() : starting_job();
  for (std::int64_t b = first; b < last; ++b) {
    j.pairs = pairs_of(*map, b, start_offset);
    multiply(j, start_offset);
  }
}

void ForwardRun::end_blocks(std::int64_t first, std::int64_t last) const {
  if (epilogue.activation == Activation::none) return;
  const std::int64_t begin = first * kBlock, end = std::min(last * kBlock, y.rows);
  kernels().end_rows({y.row(begin) + first_column(), y.row_stride, end - begin, end_column() - first_column(), ending(),
                      epilogue.slope});
}

void ForwardRun::blocked(std::int64_t first, std::int64_t last) const {
  begin_blocks(first, last);
  PanelJob j = job();
  std::int64_t k_of_job = 0;
  for (std::int64_t k = 0; k < map->volume; ++k) {
    if (k == start_offset) continue;
    for (std::int64_t b = first; b < last; ++b) {
      const Pairs pairs = pairs_of(*map, b, k);
      if (pairs.count == 0) continue;
      if (j.pairs.count > 0) {  // one job behind, so that each knows the next
        j.next = pairs;
        multiply(j, k_of_job);
      }
      j.pairs = pairs;
      k_of_job = k;
    }
  }
  if (j.pairs.count > 0) {
    j.next = {};
    multiply(j, k_of_job);
  }
  end_blocks(first, last);
}

void ForwardRun::on_demand(std::int64_t first, std::int64_t last) const {
  begin_blocks(first, last);
  PanelJob j = job();
  const auto run = [&](const Pairs& pairs, const Pairs& next, std::int64_t k) {
    j.pairs = pairs;
    j.next = next;
    multiply(j, k);
  };
  PairBatches batches;
  for (std::int64_t k = 0; k < map->volume; ++k) {
    if (k == start_offset) continue;
    for (std::int64_t b = first; b < last; ++b) batches.add(pairs_of(*map, b, k), k, run);
  }
  batches.end(run);
  end_blocks(first, last);
}

void ForwardRun::stationary(std::int64_t first, std::int64_t last) const {
  const SortedTiles& tiles = map->tiles;
  if (bias_and_residual())
    for (std::int64_t i = first * kTileRows; i < last * kTileRows; ++i)
      if (const std::int64_t row = tiles.out_row[static_cast<std::size_t>(i)]; row >= 0) begin_rows(row, row + 1);
  const PanelJob start = bias_and_residual() ? job() : starting_job();
  StationaryJob j{};
  j.x = x.data;
  j.x_stride = x.row_stride;
  j.zeros = kZeros.data();
  j.y_stride = y.row_stride;
  j.start_stride = start.start_stride;
  j.out_row = tiles.out_row.data();
  j.mask = tiles.mask.data();
  j.begin = tiles.begin.data();
  j.in_row = tiles.in_row.data();
  j.first = first;
  j.last = last;
  j.first_offset = start_offset;
  j.weights_stride = weights.in_channels * panels.padded_channels();
  j.in_channels = weights.in_channels;
  j.ending = ending();
  j.slope = epilogue.slope;
  for (std::int64_t p = first_panel; p < end_panel; ++p) {
    const std::int64_t channel = panels.first_channel(p);
    j.y = y.data + channel;
    j.start = start.start == nullptr ? nullptr : start.start + channel;
    j.weights = weights_of(0) + channel * weights.in_channels;
    j.vectors = panels.vectors_of(p);
    j.tail = panels.tail_of(p);
    kernels().stationary(j);
  }
}

}  // namespace rarefy::conv_cpu
