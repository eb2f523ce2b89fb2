#include "kernels/grouped.h"

#include <algorithm>

#include "base/check.h"

namespace rarefy {
namespace {

/// Groups that run together.
struct Range {
  std::int64_t first;  ///< group
  std::int64_t count;
};

/// How the channels are cut.
struct Cut {
  std::int64_t groups, in, out;  ///< in, out: channels of one group

  Cut(std::int64_t in_channels, std::int64_t out_channels, std::int64_t groups_)
      : groups(groups_),
        in(in_channels / std::max<std::int64_t>(1, groups_)),
        out(out_channels / std::max<std::int64_t>(1, groups_)) {
    RAREFY_CHECK(groups >= 1 && in_channels == groups * in && out_channels == groups * out, ShapeError,
                 "{} input and {} output channels cannot be cut into {} equal groups", in_channels, out_channels,
                 groups);
  }

  /// A range of 32 channels costs little more than one of 8: measured for 64 channels in all.
  std::int64_t together() const {
    constexpr std::int64_t kWidth = 32;
    return std::clamp<std::int64_t>(kWidth / std::max(in, out), 1, groups);
  }
  std::int64_t ranges() const { return (groups + together() - 1) / together(); }
  Range range(std::int64_t r) const {
    const std::int64_t first = r * together();
    return {first, std::min(together(), groups - first)};
  }

  /// f(entry of the weights [K, in, groups * out], entry of a range's own [K, count * in, count * out]) for the rows of
  /// `out` entries that lie in a group.
  template <class F>
  void for_rows(std::int64_t volume, const Range& range, F f) const {
    for (std::int64_t k = 0; k < volume; ++k)
      for (std::int64_t g = 0; g < range.count; ++g)
        for (std::int64_t i = 0; i < in; ++i)
          f(((k * in + i) * groups + range.first + g) * out,
            ((k * range.count + g) * in + i) * range.count * out + g * out);
  }
  std::size_t size(std::int64_t volume, const Range& range) const {
    return static_cast<std::size_t>(volume * range.count * in * range.count * out);
  }
};

}  // namespace

void pack_grouped(const ConvVariant& variant, const float* weights, std::int64_t volume, std::int64_t in_channels,
                  std::int64_t out_channels, std::int64_t groups, WeightOrder order, GroupedWeights& out,
                  Executor& executor) {
  const Cut cut(in_channels, out_channels, groups);
  out.resize(static_cast<std::size_t>(cut.ranges()));
  std::vector<float> own;
  for (std::int64_t r = 0; r < cut.ranges(); ++r) {
    const Range range = cut.range(r);
    own.assign(cut.size(volume, range), 0.0f);
    cut.for_rows(volume, range,
                 [&](std::int64_t from, std::int64_t to) { std::copy_n(weights + from, cut.out, own.data() + to); });
    pack_weights(variant, own.data(), volume, range.count * cut.in, range.count * cut.out, order,
                 out[static_cast<std::size_t>(r)], executor);
  }
}

void grouped_forward(Matrix<const float> x, const GroupedWeights& weights, const KernelMap* map,
                     const ConvEpilogue& epilogue, Executor& executor, Matrix<float> y) {
  RAREFY_CHECK(!weights.empty(), UsageError, "grouped convolution weights were never packed: call pack_grouped first");
  std::int64_t in = 0, out = 0;
  for (const PackedWeights& w : weights) {
    in += w.in_channels;
    out += w.out_channels;
  }
  RAREFY_CHECK(x.cols == in && y.cols == out, ShapeError,
               "grouped convolution weights go from {} channels to {}, the features from {} to {}", in, out, x.cols,
               y.cols);
  const Matrix<const float>& residual = epilogue.residual;
  RAREFY_CHECK(residual.data == nullptr || residual.cols == y.cols, ShapeError,
               "residual is [{}, {}], the output [{}, {}]", residual.rows, residual.cols, y.rows, y.cols);
  in = out = 0;
  for (const PackedWeights& w : weights) {
    ConvEpilogue mine = epilogue;
    if (mine.bias != nullptr) mine.bias += out;
    if (residual.data != nullptr) mine.residual = residual.columns(out, w.out_channels);
    conv_forward(x.columns(in, w.in_channels), w, map, mine, executor, y.columns(out, w.out_channels));
    in += w.in_channels;
    out += w.out_channels;
  }
}

void grouped_weight_gradient(const ConvVariant& variant, Matrix<const float> x, Matrix<const float> y_gradient,
                             const KernelMap* map, std::int64_t volume, std::int64_t groups, Executor& executor,
                             float* weight_gradient) {
  const Cut cut(x.cols, y_gradient.cols, groups);
  std::vector<float> own;
  AlignedBuffer scratch;
  for (std::int64_t r = 0; r < cut.ranges(); ++r) {
    const Range range = cut.range(r);
    own.resize(cut.size(volume, range));
    conv_weight_gradient(variant, x.columns(range.first * cut.in, range.count * cut.in),
                         y_gradient.columns(range.first * cut.out, range.count * cut.out), map, volume, executor,
                         scratch, own.data());
    cut.for_rows(volume, range, [&](std::int64_t to, std::int64_t from) {
      std::copy_n(own.data() + from, cut.out, weight_gradient + to);
    });
  }
}

}  // namespace rarefy
