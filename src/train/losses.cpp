#include "train/losses.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace rarefy::train {
namespace {

constexpr std::int64_t kBlock = 4096;  // rows of a partial sum: part of the definition of the result's bits

/// Sums of one block of rows.
struct Partial {
  double loss = 0.0;
  double weight = 0.0;
};

void softmax_row(const float* logits, std::int64_t classes, float* probability) {
  float largest = logits[0];
  for (std::int64_t c = 1; c < classes; ++c) largest = std::max(largest, logits[c]);
  float sum = 0.0f;
  for (std::int64_t c = 0; c < classes; ++c) sum += probability[c] = std::exp(logits[c] - largest);
  const float inverse = 1.0f / sum;
  for (std::int64_t c = 0; c < classes; ++c) probability[c] *= inverse;
}

/// Probabilities of all rows; weighted sum of -log p of the labels, and of the weights.
Partial cross_entropy(Matrix<const float> logits, std::span<const std::uint8_t> labels,
                      const std::vector<float>& weights, Executor& executor, float* probabilities) {
  std::vector<Partial> partial(static_cast<std::size_t>((logits.rows + kBlock - 1) / kBlock));
  executor.parallel_for(static_cast<std::int64_t>(partial.size()), [&](std::int64_t block, int) {
    Partial sum;
    for (std::int64_t r = block * kBlock; r < std::min(logits.rows, (block + 1) * kBlock); ++r) {
      float* p = probabilities + r * logits.cols;
      softmax_row(logits.row(r), logits.cols, p);
      const std::uint8_t label = labels[static_cast<std::size_t>(r)];
      if (label == kIgnoredLabel) continue;
      const double w = weights[label];
      sum.loss -= w * std::log(std::max(p[label], 1e-30f));
      sum.weight += w;
    }
    partial[static_cast<std::size_t>(block)] = sum;
  });
  Partial total;
  for (const Partial& p : partial) total = {total.loss + p.loss, total.weight + p.weight};
  return total;
}

/// Order of falling error, stable: a radix sort on the bits of the (non-negative) floats, complemented.
class ErrorOrder {
 public:
  struct Entry {
    std::uint32_t key;
    std::uint32_t row;  ///< position in the list of labelled rows; the top bit says foreground
  };
  static constexpr std::uint32_t kForeground = 1u << 31;

  std::vector<Entry>& entries() { return entries_; }
  void sort() {
    other_.resize(entries_.size());
    for (int shift = 0; shift < 33; shift += 11) {
      std::array<std::uint32_t, 2048> begin{};
      for (const Entry& e : entries_) ++begin[(e.key >> shift) & 2047u];
      std::uint32_t sum = 0;
      for (std::uint32_t& b : begin) sum += std::exchange(b, sum);
      for (const Entry& e : entries_) other_[begin[(e.key >> shift) & 2047u]++] = e;
      entries_.swap(other_);
    }
  }

 private:
  std::vector<Entry> entries_, other_;
};

/// Lovász loss of one class; adds its gradient with respect to the probabilities of that class, times `factor`.
double lovasz_of_class(std::int64_t c, std::int64_t classes, std::span<const std::uint8_t> labels,
                       std::span<const std::int32_t> rows, const float* probabilities, double factor, float* gradient) {
  ErrorOrder order;
  auto& entries = order.entries();
  entries.resize(rows.size());
  std::int64_t foreground = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float p = probabilities[rows[i] * classes + c];
    const bool own = labels[static_cast<std::size_t>(rows[i])] == c;
    foreground += own ? 1 : 0;
    const float error = own ? std::max(0.0f, 1.0f - p) : p;
    entries[i] = {~std::bit_cast<std::uint32_t>(error + 0.0f),
                  static_cast<std::uint32_t>(i) | (own ? ErrorOrder::kForeground : 0u)};
  }
  order.sort();
  // Jaccard loss of the first k entries as errors: 1 - (F - hits) / (F + misses); its steps are the gradient.
  double loss = 0.0, previous = 0.0;
  std::int64_t hits = 0, misses = 0;
  for (const auto& entry : entries) {
    const bool own = (entry.row & ErrorOrder::kForeground) != 0;
    (own ? hits : misses) += 1;
    const double jaccard = 1.0 - static_cast<double>(foreground - hits) / static_cast<double>(foreground + misses);
    const double step = jaccard - previous;
    previous = jaccard;
    loss += static_cast<double>(std::bit_cast<float>(~entry.key)) * step;
    const std::int64_t row = rows[entry.row & ~ErrorOrder::kForeground];
    gradient[row * classes + c] = static_cast<float>((own ? -step : step) * factor);
  }
  return loss;
}

}  // namespace

LossValue segmentation_loss(Matrix<const float> logits, std::span<const std::uint8_t> labels,
                            const LossOptions& options, Executor& executor, LossScratch& scratch,
                            Matrix<float> gradient) {
  const std::int64_t rows = logits.rows, classes = logits.cols;
  RAREFY_CHECK(static_cast<std::int64_t>(labels.size()) == rows, ShapeError,
               "the loss got {} labels for {} rows of logits", labels.size(), rows);
  RAREFY_CHECK(gradient.rows == rows && gradient.cols == classes, ShapeError,
               "the gradient is [{}, {}], the logits are [{}, {}]", gradient.rows, gradient.cols, rows, classes);
  RAREFY_CHECK(classes >= 1 && classes <= 255, ShapeError, "the loss serves 1 to 255 classes, got {}", classes);
  const std::vector<float> weights = options.class_weights.empty()
                                         ? std::vector<float>(static_cast<std::size_t>(classes), 1.0f)
                                         : options.class_weights;
  RAREFY_CHECK(static_cast<std::int64_t>(weights.size()) == classes, ShapeError,
               "there are {} class weights for {} classes", weights.size(), classes);
  scratch.rows.clear();
  std::array<std::int64_t, 256> count{};
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::uint8_t label = labels[static_cast<std::size_t>(r)];
    if (label == kIgnoredLabel) continue;
    RAREFY_CHECK(label < classes, UsageError, "row {} has label {}, but there are {} classes (255 = ignored)", r, label,
                 classes);
    ++count[label];
    scratch.rows.push_back(static_cast<std::int32_t>(r));
  }
  const auto size = static_cast<std::size_t>(rows * classes);
  scratch.probabilities.resize(size);
  scratch.probability_gradient.assign(size, 0.0f);
  LossValue value;
  value.counted = static_cast<std::int64_t>(scratch.rows.size());
  const Partial sum = cross_entropy(logits, labels, weights, executor, scratch.probabilities.data());
  if (sum.weight > 0.0) value.cross_entropy = sum.loss / sum.weight;

  const bool lovasz = options.lovasz != 0.0 && value.counted > 0;
  if (lovasz) {
    std::vector<std::int64_t> present;
    for (std::int64_t c = 0; c < classes; ++c)
      if (count[static_cast<std::size_t>(c)] > 0) present.push_back(c);
    std::vector<double> losses(present.size());
    const double factor = options.lovasz / static_cast<double>(present.size());
    executor.parallel_for(static_cast<std::int64_t>(present.size()), [&](std::int64_t i, int) {
      losses[static_cast<std::size_t>(i)] =
          lovasz_of_class(present[static_cast<std::size_t>(i)], classes, labels, scratch.rows,
                          scratch.probabilities.data(), factor, scratch.probability_gradient.data());
    });
    value.lovasz = std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(present.size());
  }
  value.total = options.cross_entropy * value.cross_entropy + options.lovasz * value.lovasz;

  const double scale = sum.weight > 0.0 ? options.cross_entropy / sum.weight : 0.0;
  executor.parallel_for((rows + kBlock - 1) / kBlock, [&](std::int64_t block, int) {
    for (std::int64_t r = block * kBlock; r < std::min(rows, (block + 1) * kBlock); ++r) {
      const std::uint8_t label = labels[static_cast<std::size_t>(r)];
      const float* p = scratch.probabilities.data() + r * classes;
      const float* g = scratch.probability_gradient.data() + r * classes;
      float* out = gradient.row(r);
      if (label == kIgnoredLabel) {
        std::fill(out, out + classes, 0.0f);
        continue;
      }
      float mean = 0.0f;
      if (lovasz)
        for (std::int64_t c = 0; c < classes; ++c) mean += p[c] * g[c];
      const auto w = static_cast<float>(scale * weights[label]);
      for (std::int64_t c = 0; c < classes; ++c)
        out[c] = p[c] * (g[c] - mean) + w * (p[c] - (c == label ? 1.0f : 0.0f));
    }
  });
  return value;
}

double keep_ratio_loss(Matrix<const float> keep, std::span<const std::int64_t> begin, double wanted,
                       Matrix<float> gradient) {
  const std::int64_t rows = begin.empty() ? 0 : begin.back();
  RAREFY_CHECK(keep.cols == 1 && gradient.cols == 1 && keep.rows == rows && gradient.rows == rows, ShapeError,
               "keep ratio loss: samples have {} rows; decisions are {} x {}, the gradient {} x {}; expected {} x 1",
               rows, keep.rows, keep.cols, gradient.rows, gradient.cols, rows);
  std::int64_t samples = 0;
  for (std::size_t s = 1; s < begin.size(); ++s) samples += begin[s] > begin[s - 1] ? 1 : 0;
  double loss = 0.0;
  for (std::size_t s = 1; s < begin.size(); ++s) {
    const auto count = static_cast<double>(begin[s] - begin[s - 1]);
    double sum = 0.0;
    for (std::int64_t r = begin[s - 1]; r < begin[s]; ++r) sum += keep(r, 0);
    if (count == 0.0) continue;
    const double off = sum / count - wanted;
    loss += off * off / static_cast<double>(samples);
    for (std::int64_t r = begin[s - 1]; r < begin[s]; ++r)
      gradient(r, 0) = static_cast<float>(2.0 * off / (count * static_cast<double>(samples)));
  }
  return loss;
}

std::vector<float> balanced_weights(std::span<const std::int64_t> counts) {
  std::vector<float> weights(counts.size(), 1.0f);
  double total = 0.0, sum = 0.0;
  std::int64_t present = 0;
  for (const std::int64_t c : counts) total += static_cast<double>(c);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] <= 0) continue;
    weights[i] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(counts[i]) / total));
    sum += weights[i];
    ++present;
  }
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0) weights[i] = static_cast<float>(weights[i] * static_cast<double>(present) / sum);
  return weights;
}

}  // namespace rarefy::train
