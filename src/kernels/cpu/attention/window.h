#pragma once
/// What the forward and the backward pass of attention within windows share.
#include "kernels/cpu/attention/blocks.h"
#include "kernels/window_attention.h"

namespace rarefy::attention_cpu {

/// @throws ShapeError unless a result or gradient of rows x cols belongs to the input
void check_windows(const WindowAttentionInput& in, std::int64_t rows, std::int64_t cols);

/// Rows of some columns, with a stride.
struct ConstRows {
  const float* data;
  std::ptrdiff_t stride;
};

/// Columns of x as an operand that is read in whole vectors: where they lie, if they fill vectors, else a copy in
/// `room` with zeros behind them.
ConstRows whole_vectors(Matrix<const float> x, std::int64_t first, std::int64_t rows, std::int64_t padded, float* room);

/// One window: consecutive rows.
struct Window {
  std::int64_t first, rows;
};

/// Probabilities within windows, head by head. Tokens have places in a complete window, line * window + column; a
/// window at the edge of the image holds fewer of them, and only differences of places count.
class WindowScores {
 public:
  WindowScores(const WindowAttentionInput& in, const AttentionKernels& kernels);

  /// Floats that all workers share, and that one of them needs.
  std::int64_t bias_floats() const { return rounded_up(heads * places * cols, 16); }
  std::int64_t worker_floats() const { return rounded_up(places * (2 * cols + 3) + d * cols, 16); }
  /// Writes the bias of every pair of places, [heads][places][cols], minus infinity behind the places: before compute.
  void expand_bias(float* shared, Executor& executor);

  /// Memory of one worker.
  struct Work {
    float* scores;        ///< [rows, stride] after compute: exp(score - largest of the row)
    float* inverse_sums;  ///< [rows] after compute: 1 / sum of a row of scores
    float* keys;
    float* bias;
    float* largest;
    std::int32_t* place;  ///< [rows] after enter, unless the window is complete
  };
  Work work_in(float* memory) const;

  std::int64_t windows() const { return begin_.empty() ? 0 : static_cast<std::int64_t>(begin_.size()) - 1; }
  Window window(std::int64_t number) const;
  bool complete(const Window& window) const { return window.rows == places; }
  /// Of a row of scores of the window.
  std::int64_t stride(const Window& window) const { return rounded_up(window.rows, kernels.lanes); }
  /// Finds the places of the window's rows.
  void enter(const Window& window, const Work& work) const;
  /// Scores of one head.
  void compute(const Window& window, std::int64_t head, const Work& work) const;

  const AttentionKernels& kernels;
  std::int64_t heads, d, e;
  std::int64_t places;  ///< of a complete window
  std::int64_t cols;    ///< places rounded up to whole vectors
  float scale;          ///< 1 / sqrt(d)

 private:
  ConstRows bias_of(const Window& window, std::int64_t head, const Work& work) const;

  const WindowAttentionInput& in_;
  std::span<const std::int64_t> begin_;
  const float* bias_ = nullptr;
};

}  // namespace rarefy::attention_cpu
