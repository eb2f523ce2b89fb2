#include <cmath>

#include "base/check.h"
#include "kernels/cpu/attention/blocks.h"
#include "kernels/window_attention.h"

namespace rarefy {

using attention_cpu::AttentionKernels;
using attention_cpu::kTileRows;
using attention_cpu::rounded_up;

namespace {

constexpr float kLowest = std::numeric_limits<float>::lowest();
/// Windows of one part of the work: the table's gradient is summed up part by part.
constexpr std::int64_t kPartWindows = 16;

void check(const WindowAttentionInput& in, std::int64_t rows, std::int64_t cols) {
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

/// Sizes that all windows share, and the memory of a worker.
struct Sizes {
  std::int64_t heads, d, e, most, rows, cols, padded_d, padded_e;

  Sizes(const WindowAttentionInput& in, const AttentionKernels& kernels)
      : heads(in.rows.heads),
        d(in.rows.q.cols / heads),
        e(in.rows.v.cols / heads),
        most(in.grid.window * in.grid.window),
        rows(rounded_up(most, kTileRows)),
        cols(rounded_up(most, kernels.lanes)),
        padded_d(rounded_up(d, kernels.lanes)),
        padded_e(rounded_up(e, kernels.lanes)) {}
  /// Bias of a complete window: [heads][most][cols].
  std::int64_t bias_floats() const { return heads * most * cols; }
};

/// Bias of every pair of places of a complete window, head after head.
void expand_bias(const WindowAttentionInput& in, const Sizes& s, float* bias) {
  const std::int64_t w = in.grid.window, steps = 2 * w - 1;
  for (std::int64_t h = 0; h < s.heads; ++h)
    for (std::int64_t i = 0; i < s.most; ++i) {
      float* row = bias + (h * s.most + i) * s.cols;
      for (std::int64_t j = 0; j < s.most; ++j)
        row[j] = in.table((i / w - j / w + w - 1) * steps + i % w - j % w + w - 1, h);
      std::fill(row + s.most, row + s.cols, 0.0f);
    }
}

/// A window's rows and where they lie in it.
struct Window {
  std::int64_t first = 0, rows = 0;
  bool complete = false;

  /// Place of a row in a complete window with its corner at the first row's token: only differences count.
  static std::int64_t place(const WindowAttentionInput& in, std::int64_t first, std::int64_t row) {
    const std::int64_t from = in.token_of_row[static_cast<std::size_t>(first)] % in.grid.tokens();
    const std::int64_t at = in.token_of_row[static_cast<std::size_t>(row)] % in.grid.tokens();
    return (at / in.grid.width - from / in.grid.width) * in.grid.window + at % in.grid.width - from % in.grid.width;
  }
  Window(const WindowAttentionInput& in, std::int64_t number)
      : first(in.rows.sample_begin[static_cast<std::size_t>(number)]),
        rows(in.rows.sample_begin[static_cast<std::size_t>(number) + 1] - first),
        complete(rows == in.grid.window * in.grid.window) {}
};

/// Memory of one worker.
struct Work {
  float *q, *k, *v, *scores, *y, *largest, *sum, *mask;
  std::int32_t* place;

  static std::int64_t floats(const Sizes& s) {
    return rounded_up(s.rows * (s.d + s.cols + s.padded_e + 2) + s.d * s.cols + s.most * s.padded_e + s.cols + s.most,
                      16);
  }
  Work(const Sizes& s, float* memory) {
    q = memory;
    k = q + s.rows * s.d;
    v = k + s.d * s.cols;
    scores = v + s.most * s.padded_e;
    y = scores + s.rows * s.cols;
    largest = y + s.rows * s.padded_e;
    sum = largest + s.rows;
    mask = sum + s.rows;
    place = reinterpret_cast<std::int32_t*>(mask + s.cols);
  }
};

struct Attention {
  const WindowAttentionInput& in;
  const AttentionKernels& kernels;
  Sizes s;
  const float* bias = nullptr;

  /// Places of the window's rows and the mask of its columns.
  void enter(const Window& window, const Work& work) const {
    const std::int64_t cols = rounded_up(window.rows, kernels.lanes);
    std::fill_n(work.mask, window.rows, 0.0f);
    std::fill(work.mask + window.rows, work.mask + cols, -std::numeric_limits<float>::infinity());
    for (std::int64_t r = 0; r < window.rows && !window.complete; ++r)
      work.place[r] = static_cast<std::int32_t>(Window::place(in, window.first, window.first + r));
  }

  /// exp(score - largest) of one head, and the sums of its rows.
  void scores(const Window& window, std::int64_t head, const Work& work) const {
    const std::int64_t rows = rounded_up(window.rows, kTileRows), cols = rounded_up(window.rows, kernels.lanes);
    attention_cpu::pack_rows(in.rows.q.columns(head * s.d, s.d), window.first, window.rows,
                             static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.d))), work.q);
    attention_cpu::pack_transposed(in.rows.k.columns(head * s.d, s.d), window.first, window.rows, cols, cols, work.k);
    // The bias is where the product adds up to.
    for (std::int64_t r = 0; r < window.rows; ++r) {
      float* to = work.scores + r * cols;
      if (window.complete) {
        std::copy_n(bias + (head * s.most + r) * s.cols, cols, to);
        continue;
      }
      for (std::int64_t c = 0; c < window.rows; ++c) to[c] = pair_bias(head, work.place[r], work.place[c]);
      std::fill(to + window.rows, to + cols, 0.0f);
    }
    std::fill(work.scores + window.rows * cols, work.scores + rows * cols, 0.0f);
    kernels.product({work.q, s.d, work.k, cols, work.scores, cols, rows, s.d, cols, true});
    std::fill_n(work.largest, rows, kLowest);
    std::fill_n(work.sum, rows, 0.0f);
    kernels.softmax({work.scores, cols, rows, cols, work.mask, work.largest, work.sum, nullptr, 0, 0});
  }

  float pair_bias(std::int64_t head, std::int32_t i, std::int32_t j) const {
    return bias[(head * s.most + i) * s.cols + j];
  }

  void forward(std::int64_t number, const Work& work, Matrix<float> y) const {
    const Window window(in, number);
    if (window.rows == 0) return;
    enter(window, work);
    const std::int64_t rows = rounded_up(window.rows, kTileRows), cols = rounded_up(window.rows, kernels.lanes);
    for (std::int64_t h = 0; h < s.heads; ++h) {
      scores(window, h, work);
      for (std::int64_t r = 0; r < window.rows; ++r) {
        float* to = work.v + r * s.padded_e;
        std::copy_n(in.rows.v.row(window.first + r) + h * s.e, s.e, to);
        std::fill(to + s.e, to + s.padded_e, 0.0f);
      }
      kernels.product(
          {work.scores, cols, work.v, s.padded_e, work.y, s.padded_e, rows, window.rows, s.padded_e, false});
      for (std::int64_t r = 0; r < window.rows; ++r) {
        const float scale = 1.0f / work.sum[r];
        float* to = y.row(window.first + r) + h * s.e;
        for (std::int64_t c = 0; c < s.e; ++c) to[c] = work.y[r * s.padded_e + c] * scale;
      }
    }
  }
};

/// The backward pass of one worker: besides Work, what the gradients need.
struct BackWork {
  float *gy, *gp, *values, *keys, *queries, *made, *transposed;

  static std::int64_t floats(const Sizes& s) {
    const std::int64_t widest = std::max(s.padded_d, s.padded_e);
    return rounded_up(s.rows * s.padded_e + s.rows * s.cols + s.e * s.cols + 2 * s.rows * s.padded_d + s.rows * widest +
                          s.rows * rounded_up(s.rows, 16),
                      16);
  }
  BackWork(const Sizes& s, float* memory) {
    gy = memory;                                                    // [rows, padded_e]
    gp = gy + s.rows * s.padded_e;                                  // [rows, cols]
    values = gp + s.rows * s.cols;                                  // [e, cols], transposed
    keys = values + s.e * s.cols;                                   // [rows, padded_d]
    queries = keys + s.rows * s.padded_d;                           // [rows, padded_d]
    made = queries + s.rows * s.padded_d;                           // [rows, widest]
    transposed = made + s.rows * std::max(s.padded_d, s.padded_e);  // [rows, rows]
  }
};

/// to [rows, padded] = columns of x, zeros where there is nothing.
void pack_padded(Matrix<const float> x, std::int64_t first, std::int64_t rows, std::int64_t all_rows,
                 std::int64_t padded, float* to) {
  for (std::int64_t r = 0; r < rows; ++r, to += padded) {
    std::copy_n(x.row(first + r), x.cols, to);
    std::fill(to + x.cols, to + padded, 0.0f);
  }
  std::fill_n(to, (all_rows - rows) * padded, 0.0f);
}

/// to [rows, n] = transpose of the first n columns of from [n, stride]; rows up to a whole tile are zero.
void transpose(const float* from, std::int64_t stride, std::int64_t n, std::int64_t rows, float* to) {
  for (std::int64_t r = 0; r < n; ++r)
    for (std::int64_t c = 0; c < n; ++c) to[c * n + r] = from[r * stride + c];
  std::fill(to + n * n, to + rows * n, 0.0f);
}

struct Backward {
  const Attention& forward;
  Matrix<const float> gy;
  const WindowAttentionGradients& out;

  void store(const float* from, std::int64_t stride, std::int64_t rows, std::int64_t first, std::int64_t column,
             std::int64_t cols, float factor, Matrix<float> to) const {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) to(first + r, column + c) = from[r * stride + c] * factor;
  }

  /// Adds to `table`, [(2w - 1)^2, heads], what one head of the window gives: ds is [n, cols].
  void add_to_table(const Window& window, std::int64_t head, const Work& work, const float* ds, std::int64_t cols,
                    float* table) const {
    const WindowAttentionInput& in = forward.in;
    const std::int64_t w = in.grid.window, steps = 2 * w - 1;
    for (std::int64_t i = 0; i < window.rows; ++i) {
      const std::int64_t a = window.complete ? i : work.place[i];
      for (std::int64_t j = 0; j < window.rows; ++j) {
        const std::int64_t b = window.complete ? j : work.place[j];
        table[((a / w - b / w + w - 1) * steps + a % w - b % w + w - 1) * forward.s.heads + head] += ds[i * cols + j];
      }
    }
  }

  void run(std::int64_t number, const Work& work, const BackWork& back, float* table) const {
    const WindowAttentionInput& in = forward.in;
    const AttentionKernels& kernels = forward.kernels;
    const Sizes& s = forward.s;
    const Window window(in, number);
    const std::int64_t n = window.rows;
    if (n == 0) return;
    forward.enter(window, work);
    const std::int64_t rows = rounded_up(n, kTileRows), cols = rounded_up(n, kernels.lanes);
    const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.d)));
    for (std::int64_t h = 0; h < s.heads; ++h) {
      forward.scores(window, h, work);
      for (std::int64_t r = 0; r < rows; ++r) {
        const float factor = r < n ? 1.0f / work.sum[r] : 0.0f;
        for (std::int64_t c = 0; c < cols; ++c) work.scores[r * cols + c] *= factor;
      }
      pack_padded(gy.columns(h * s.e, s.e), window.first, n, rows, s.padded_e, back.gy);
      attention_cpu::pack_transposed(in.rows.v.columns(h * s.e, s.e), window.first, n, cols, cols, back.values);
      // gv = p' gy; gp = gy v'; ds = p (gp - sum(gp p)).
      transpose(work.scores, cols, n, rows, back.transposed);
      kernels.product({back.transposed, n, back.gy, s.padded_e, back.made, s.padded_e, rows, n, s.padded_e, false});
      store(back.made, s.padded_e, n, window.first, h * s.e, s.e, 1.0f, out.v);
      kernels.product({back.gy, s.padded_e, back.values, cols, back.gp, cols, rows, s.e, cols, false});
      for (std::int64_t r = 0; r < rows; ++r) {
        float *g = back.gp + r * cols, sum = 0.0f;
        const float* p = work.scores + r * cols;
        for (std::int64_t c = 0; c < n; ++c) sum += g[c] * p[c];
        for (std::int64_t c = 0; c < cols; ++c) g[c] = p[c] * (g[c] - sum);
      }
      add_to_table(window, h, work, back.gp, cols, table);
      // gq = ds k / sqrt(d); gk = ds' q / sqrt(d).
      pack_padded(in.rows.k.columns(h * s.d, s.d), window.first, n, n, s.padded_d, back.keys);
      pack_padded(in.rows.q.columns(h * s.d, s.d), window.first, n, n, s.padded_d, back.queries);
      kernels.product({back.gp, cols, back.keys, s.padded_d, back.made, s.padded_d, rows, n, s.padded_d, false});
      store(back.made, s.padded_d, n, window.first, h * s.d, s.d, scale, out.q);
      transpose(back.gp, cols, n, rows, back.transposed);
      kernels.product(
          {back.transposed, n, back.queries, s.padded_d, back.made, s.padded_d, rows, n, s.padded_d, false});
      store(back.made, s.padded_d, n, window.first, h * s.d, s.d, scale, out.k);
    }
  }
};

std::int64_t windows_of(const WindowAttentionInput& in) {
  return in.rows.sample_begin.empty() ? 0 : static_cast<std::int64_t>(in.rows.sample_begin.size()) - 1;
}

}  // namespace

void window_attention(cpu::Isa isa, const WindowAttentionInput& in, Executor& executor, AlignedBuffer& scratch,
                      Matrix<float> y) {
  check(in, y.rows, y.cols);
  Attention attention{in, attention_cpu::attention_kernels(isa), Sizes(in, attention_cpu::attention_kernels(isa))};
  const Sizes& s = attention.s;
  const std::int64_t bias = rounded_up(s.bias_floats(), 16), worker = Work::floats(s);
  float* memory = scratch.reserve_for<float>(bias + executor.concurrency() * worker);
  expand_bias(in, s, memory);
  attention.bias = memory;
  const std::int64_t windows = windows_of(in);
  executor.parallel_for((windows + kPartWindows - 1) / kPartWindows, [&](std::int64_t part, int number) {
    const Work work(s, memory + bias + number * worker);
    for (std::int64_t w = part * kPartWindows; w < std::min(windows, (part + 1) * kPartWindows); ++w)
      attention.forward(w, work, y);
  });
}

void window_attention_gradient(cpu::Isa isa, const WindowAttentionInput& in, Matrix<const float> gy, Executor& executor,
                               AlignedBuffer& scratch, const WindowAttentionGradients& gradients) {
  check(in, gy.rows, gy.cols);
  Attention attention{in, attention_cpu::attention_kernels(isa), Sizes(in, attention_cpu::attention_kernels(isa))};
  const Sizes& s = attention.s;
  const std::int64_t bias = rounded_up(s.bias_floats(), 16), worker = Work::floats(s) + BackWork::floats(s);
  const std::int64_t windows = windows_of(in), parts = (windows + kPartWindows - 1) / kPartWindows;
  const std::int64_t table = rounded_up(in.table.rows * s.heads, 16);
  float* memory = scratch.reserve_for<float>(bias + parts * table + executor.concurrency() * worker);
  float *tables = memory + bias, *workers = tables + parts * table;
  expand_bias(in, s, memory);
  attention.bias = memory;
  const Backward backward{attention, gy, gradients};
  executor.parallel_for(parts, [&](std::int64_t part, int number) {
    float* mine = tables + part * table;
    std::fill_n(mine, table, 0.0f);
    float* own = workers + number * worker;
    const Work work(s, own);
    const BackWork back(s, own + Work::floats(s));
    for (std::int64_t w = part * kPartWindows; w < std::min(windows, (part + 1) * kPartWindows); ++w)
      backward.run(w, work, back, mine);
  });
  for (std::int64_t r = 0; r < in.table.rows; ++r)
    for (std::int64_t h = 0; h < s.heads; ++h) {
      double sum = 0.0;
      for (std::int64_t part = 0; part < parts; ++part) sum += tables[part * table + r * s.heads + h];
      gradients.table(r, h) = static_cast<float>(sum);
    }
}

}  // namespace rarefy
