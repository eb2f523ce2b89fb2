#include "kernels/cpu/attention/window.h"

#include <cmath>

#include "base/check.h"

namespace rarefy {
namespace attention_cpu {

void check_windows(const WindowAttentionInput& in, std::int64_t rows, std::int64_t cols) {
  const AttentionInput& a = in.rows;
  const std::int64_t n = a.sample_begin.empty() ? 0 : a.sample_begin.back(), steps = 2 * in.grid.window - 1;
  RAREFY_CHECK(a.heads >= 1 && a.q.cols % a.heads == 0 && a.v.cols % a.heads == 0 && a.q.cols == a.k.cols, ShapeError,
               "window attention: {} heads do not share {} query, {} key and {} value columns", a.heads, a.q.cols,
               a.k.cols, a.v.cols);
  RAREFY_CHECK(a.q.rows == n && a.k.rows == n && a.v.rows == n && rows == n && cols == a.v.cols &&
                   static_cast<std::int64_t>(in.token_of_row.size()) == n,
               ShapeError,
               "window attention: windows have {} rows; queries {}, keys {}, values {}, tokens {}, result {} x {}", n,
               a.q.rows, a.k.rows, a.v.rows, in.token_of_row.size(), rows, cols);
  RAREFY_CHECK(in.table.rows == steps * steps && in.table.cols == a.heads, ShapeError,
               "window attention: a table of {} x {}, expected {} x {}", in.table.rows, in.table.cols, steps * steps,
               a.heads);
  for (std::size_t s = 1; s < a.sample_begin.size(); ++s)
    RAREFY_CHECK(a.sample_begin[s] - a.sample_begin[s - 1] <= in.grid.window * in.grid.window, ShapeError,
                 "window attention: a window of {} rows, expected at most {}",
                 a.sample_begin[s] - a.sample_begin[s - 1], in.grid.window * in.grid.window);
}

ConstRows whole_vectors(Matrix<const float> x, std::int64_t first, std::int64_t rows, std::int64_t padded,
                        float* room) {
  if (x.cols == padded) return {x.row(first), x.row_stride};
  for (std::int64_t r = 0; r < rows; ++r) {
    float* to = room + r * padded;
    std::copy_n(x.row(first + r), x.cols, to);
    std::fill(to + x.cols, to + padded, 0.0f);
  }
  return {room, padded};
}

WindowScores::WindowScores(const WindowAttentionInput& in, const AttentionKernels& with)
    : kernels(with),
      heads(in.rows.heads),
      d(in.rows.q.cols / heads),
      e(in.rows.v.cols / heads),
      places(in.grid.window * in.grid.window),
      cols(rounded_up(places, with.lanes)),
      scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(1, d))))),
      in_(in),
      begin_(in.rows.sample_begin) {}

void WindowScores::expand_bias(float* shared, Executor& executor) {
  bias_ = shared;
  const std::int64_t w = in_.grid.window, steps = 2 * w - 1;
  executor.parallel_for(heads, [&](std::int64_t head, int) {
    float* to = shared + head * places * cols;
    for (std::int64_t place = 0; place < places; ++place, to += cols) {
      for (std::int64_t y = 0; y < w; ++y) {
        // The step from the first place of a line; the next ones are one column less away.
        const std::int64_t step = (place / w - y + w - 1) * steps + place % w + w - 1;
        for (std::int64_t x = 0; x < w; ++x) to[y * w + x] = in_.table(step - x, head);
      }
      std::fill(to + places, to + cols, -std::numeric_limits<float>::infinity());
    }
  });
}

WindowScores::Work WindowScores::work_in(float* memory) const {
  Work work{};
  work.scores = memory;
  work.bias = work.scores + places * cols;
  work.keys = work.bias + places * cols;
  work.inverse_sums = work.keys + d * cols;
  work.largest = work.inverse_sums + places;
  work.place = reinterpret_cast<std::int32_t*>(work.largest + places);
  return work;
}

Window WindowScores::window(std::int64_t number) const {
  const auto at = static_cast<std::size_t>(number);
  return {begin_[at], begin_[at + 1] - begin_[at]};
}

void WindowScores::enter(const Window& window, const Work& work) const {
  if (complete(window) || window.rows == 0) return;
  const auto token = [&](std::int64_t row) {
    return in_.token_of_row[static_cast<std::size_t>(window.first + row)] % in_.grid.tokens();
  };
  const std::int64_t width = in_.grid.width, line = token(0) / width, column = token(0) % width;
  for (std::int64_t r = 0; r < window.rows; ++r)
    work.place[r] = static_cast<std::int32_t>((token(r) / width - line) * in_.grid.window + token(r) % width - column);
}

ConstRows WindowScores::bias_of(const Window& window, std::int64_t head, const Work& work) const {
  const float* all = bias_ + head * places * cols;
  if (complete(window)) return {all, cols};
  const std::int64_t stride_of = stride(window);
  for (std::int64_t r = 0; r < window.rows; ++r) {
    const float* from = all + work.place[r] * cols;
    float* to = work.bias + r * stride_of;
    for (std::int64_t c = 0; c < window.rows; ++c) to[c] = from[work.place[c]];
    std::fill(to + window.rows, to + stride_of, -std::numeric_limits<float>::infinity());
  }
  return {work.bias, stride_of};
}

void WindowScores::compute(const Window& window, std::int64_t head, const Work& work) const {
  const std::int64_t rows = window.rows, to_stride = stride(window);
  const Matrix<const float> q = in_.rows.q.columns(head * d, d);
  pack_transposed(kernels, in_.rows.k.columns(head * d, d), window.first, rows, to_stride, to_stride, work.keys, scale);
  const ConstRows bias = bias_of(window, head, work);
  kernels.product(
      {q.row(window.first), q.row_stride, work.keys, to_stride, work.scores, to_stride, rows, d, to_stride, false});
  std::fill_n(work.largest, rows, std::numeric_limits<float>::lowest());
  std::fill_n(work.inverse_sums, rows, 0.0f);
  kernels.softmax({work.scores, to_stride, rows, to_stride, bias.data, work.largest, work.inverse_sums, nullptr, 0, 0,
                   bias.stride});
  for (std::int64_t r = 0; r < rows; ++r) work.inverse_sums[r] = 1.0f / work.inverse_sums[r];
}

}  // namespace attention_cpu

namespace {

using attention_cpu::ConstRows;
using attention_cpu::rounded_up;
using attention_cpu::WindowScores;

/// Windows of one part of the work.
constexpr std::int64_t kPartWindows = 4;

struct Forward {
  const WindowScores& scores;
  const WindowAttentionInput& in;
  Matrix<float> y;
  std::int64_t padded_e = rounded_up(scores.e, scores.kernels.lanes);

  std::int64_t worker_floats() const { return scores.worker_floats() + rounded_up(2 * scores.places * padded_e, 16); }

  void run(std::int64_t number, float* memory) const {
    const WindowScores::Work work = scores.work_in(memory);
    float *room = memory + scores.worker_floats(), *sums = room + scores.places * padded_e;
    const attention_cpu::Window window = scores.window(number);
    const std::int64_t e = scores.e, stride = scores.stride(window);
    scores.enter(window, work);
    for (std::int64_t h = 0; h < scores.heads && window.rows > 0; ++h) {
      scores.compute(window, h, work);
      const ConstRows v =
          attention_cpu::whole_vectors(in.rows.v.columns(h * e, e), window.first, window.rows, padded_e, room);
      scores.kernels.product(
          {work.scores, stride, v.data, v.stride, sums, padded_e, window.rows, window.rows, padded_e, false});
      const Matrix<float> to = y.columns(h * e, e);
      scores.kernels.scale_rows(
          {sums, padded_e, to.row(window.first), to.row_stride, window.rows, e, work.inverse_sums});
    }
  }
};

}  // namespace

void window_attention(cpu::Isa isa, const WindowAttentionInput& in, Executor& executor, AlignedBuffer& scratch,
                      Matrix<float> y) {
  attention_cpu::check_windows(in, y.rows, y.cols);
  WindowScores scores(in, attention_cpu::attention_kernels(isa));
  const Forward forward{scores, in, y};
  const std::int64_t windows = scores.windows(), worker = forward.worker_floats();
  float* memory = scratch.reserve_for<float>(scores.bias_floats() + executor.concurrency() * worker);
  scores.expand_bias(memory, executor);
  float* workers = memory + scores.bias_floats();
  executor.parallel_for((windows + kPartWindows - 1) / kPartWindows, [&](std::int64_t part, int number) {
    for (std::int64_t w = part * kPartWindows; w < std::min(windows, (part + 1) * kPartWindows); ++w)
      forward.run(w, workers + number * worker);
  });
}

}  // namespace rarefy
