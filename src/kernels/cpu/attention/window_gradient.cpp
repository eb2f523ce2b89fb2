#include "kernels/cpu/attention/window.h"

namespace rarefy {

using attention_cpu::ConstRows;
using attention_cpu::rounded_up;
using attention_cpu::Window;
using attention_cpu::WindowScores;

namespace {

/// Windows of one part of the work: the table's gradient is summed up within a part, then part by part.
constexpr std::int64_t kPartWindows = 16;

/// Rows and columns of a gradient, written in whole vectors: in place where they fill vectors, else copied from `room`.
class Result {
 public:
  Result(Matrix<float> to, const Window& window, std::int64_t padded, float* room)
      : to_(to), window_(window), in_place_(to.cols == padded), padded_(padded), room_(room) {}

  float* data() const { return in_place_ ? to_.row(window_.first) : room_; }
  std::ptrdiff_t stride() const { return in_place_ ? to_.row_stride : padded_; }
  void finish() const {
    for (std::int64_t r = 0; r < window_.rows && !in_place_; ++r)
      std::copy_n(room_ + r * padded_, to_.cols, to_.row(window_.first + r));
  }

 private:
  Matrix<float> to_;
  const Window& window_;
  bool in_place_;
  std::int64_t padded_;
  float* room_;
};

struct Backward {
  const WindowScores& scores;
  const WindowAttentionInput& in;
  Matrix<const float> gy;
  const WindowAttentionGradients& out;
  std::int64_t padded_d = rounded_up(scores.d, scores.kernels.lanes);
  std::int64_t padded_e = rounded_up(scores.e, scores.kernels.lanes);

  /// Memory of one worker besides that of the scores.
  struct Work {
    float* bias;    ///< [heads][places][cols] gradient of a part's windows
    float* gp;      ///< [rows, stride] gradient of probabilities, then of scores
    float* values;  ///< [e, stride], transposed
    float *left, *right, *made;
  };
  std::int64_t worker_floats() const {
    const std::int64_t widest = std::max(padded_d, padded_e);
    return scores.worker_floats() + scores.bias_floats() +
           rounded_up(scores.places * (scores.cols + 3 * widest) + scores.e * scores.cols, 16);
  }
  Work work_in(float* memory) const {
    const std::int64_t widest = std::max(padded_d, padded_e);
    Work work{};
    work.bias = memory + scores.worker_floats();
    work.gp = work.bias + scores.bias_floats();
    work.values = work.gp + scores.places * scores.cols;
    work.left = work.values + scores.e * scores.cols;
    work.right = work.left + scores.places * widest;
    work.made = work.right + scores.places * widest;
    return work;
  }

  /// gv = p' gy; gp = gy v'; gs = p (gp - sum of gp p).
  void probabilities(const Window& window, std::int64_t head, const WindowScores::Work& of, const Work& work) const {
    const std::int64_t n = window.rows, stride = scores.stride(window), e = scores.e;
    scores.compute(window, head, of);
    scores.kernels.scale_rows({of.scores, stride, of.scores, stride, n, stride, of.inverse_sums});
    const ConstRows g = attention_cpu::whole_vectors(gy.columns(head * e, e), window.first, n, padded_e, work.left);
    const Result gv(out.v.columns(head * e, e), window, padded_e, work.made);
    scores.kernels.product({of.scores, 1, g.data, g.stride, gv.data(), gv.stride(), n, n, padded_e, false, stride});
    gv.finish();
    attention_cpu::pack_transposed(scores.kernels, in.rows.v.columns(head * e, e), window.first, n, stride, stride,
                                   work.values);
    scores.kernels.product({g.data, g.stride, work.values, stride, work.gp, stride, n, e, stride, false});
    scores.kernels.softmax_gradient({of.scores, work.gp, stride, n, stride});
  }

  /// Adds the gradient of scores to that of the bias, then multiplies it by what scaled the products.
  void leave_bias(const Window& window, std::int64_t head, const WindowScores::Work& of, const Work& work) const {
    const std::int64_t stride = scores.stride(window);
    for (std::int64_t r = 0; r < window.rows; ++r) {
      float *from = work.gp + r * stride, *to = work.bias + head * scores.places * scores.cols;
      if (scores.complete(window)) {
        to += r * scores.cols;
        for (std::int64_t c = 0; c < stride; ++c) to[c] += from[c];
      } else {
        to += of.place[r] * scores.cols;
        for (std::int64_t c = 0; c < window.rows; ++c) to[of.place[c]] += from[c];
      }
      for (std::int64_t c = 0; c < stride; ++c) from[c] *= scores.scale;
    }
  }

  /// gq = gs k / sqrt(d); gk = gs' q / sqrt(d).
  void queries_and_keys(const Window& window, std::int64_t head, const Work& work) const {
    const std::int64_t n = window.rows, stride = scores.stride(window), d = scores.d;
    const auto columns = [&](Matrix<const float> x, float* room) {
      return attention_cpu::whole_vectors(x.columns(head * d, d), window.first, n, padded_d, room);
    };
    const ConstRows k = columns(in.rows.k, work.left), q = columns(in.rows.q, work.right);
    const Result gq(out.q.columns(head * d, d), window, padded_d, work.made);
    scores.kernels.product({work.gp, stride, k.data, k.stride, gq.data(), gq.stride(), n, n, padded_d, false});
    gq.finish();
    const Result gk(out.k.columns(head * d, d), window, padded_d, work.made);
    scores.kernels.product({work.gp, 1, q.data, q.stride, gk.data(), gk.stride(), n, n, padded_d, false, stride});
    gk.finish();
  }

  void run(std::int64_t number, float* memory) const {
    const WindowScores::Work of = scores.work_in(memory);
    const Work work = work_in(memory);
    const Window window = scores.window(number);
    scores.enter(window, of);
    for (std::int64_t h = 0; h < scores.heads && window.rows > 0; ++h) {
      probabilities(window, h, of, work);
      leave_bias(window, h, of, work);
      queries_and_keys(window, h, work);
    }
  }

  /// The part's gradient of the table, [(2w - 1)^2, heads], from that of pairs of places.
  void fold(const float* bias, float* table) const {
    const std::int64_t w = in.grid.window, steps = 2 * w - 1, heads = scores.heads;
    std::fill_n(table, steps * steps * heads, 0.0f);
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t place = 0; place < scores.places; ++place, bias += scores.cols)
        for (std::int64_t y = 0; y < w; ++y) {
          const std::int64_t step = (place / w - y + w - 1) * steps + place % w + w - 1;
          for (std::int64_t x = 0; x < w; ++x) table[(step - x) * heads + h] += bias[y * w + x];
        }
  }
};

}  // namespace

void window_attention_gradient(cpu::Isa isa, const WindowAttentionInput& in, Matrix<const float> gy, Executor& executor,
                               AlignedBuffer& scratch, const WindowAttentionGradients& gradients) {
  attention_cpu::check_windows(in, gy.rows, gy.cols);
  WindowScores scores(in, attention_cpu::attention_kernels(isa));
  const Backward backward{scores, in, gy, gradients};
  const std::int64_t windows = scores.windows(), parts = (windows + kPartWindows - 1) / kPartWindows;
  const std::int64_t table = rounded_up(in.table.rows * scores.heads, 16), worker = backward.worker_floats();
  float* memory = scratch.reserve_for<float>(scores.bias_floats() + parts * table + executor.concurrency() * worker);
  float *tables = memory + scores.bias_floats(), *workers = tables + parts * table;
  scores.expand_bias(memory, executor);
  executor.parallel_for(parts, [&](std::int64_t part, int number) {
    float* own = workers + number * worker;
    float* bias = backward.work_in(own).bias;
    std::fill_n(bias, scores.bias_floats(), 0.0f);
    for (std::int64_t w = part * kPartWindows; w < std::min(windows, (part + 1) * kPartWindows); ++w)
      backward.run(w, own);
    backward.fold(bias, tables + part * table);
  });
  for (std::int64_t r = 0; r < in.table.rows; ++r)
    for (std::int64_t h = 0; h < scores.heads; ++h) {
      double sum = 0.0;
      for (std::int64_t part = 0; part < parts; ++part) sum += tables[part * table + r * scores.heads + h];
      gradients.table(r, h) = static_cast<float>(sum);
    }
}

}  // namespace rarefy
