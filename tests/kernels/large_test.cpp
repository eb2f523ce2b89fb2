// Counts times channels times bytes beyond 2^31 and 2^32: rows lie far apart in memory of which only some pages exist.
#include <sys/mman.h>

#include "base/memory.h"
#include "conv_fixture.h"
#include "kernels/batch_norm.h"
#include "sparse/voxelize.h"

namespace rarefy::test {
namespace {

/// A matrix whose last row starts beyond 2^31 elements (2^33 bytes) from the first. Pages appear when touched.
class FarRows {
 public:
  static constexpr std::int64_t kStride = std::int64_t{1} << 29;
  static constexpr std::int64_t kRows = 5;
  explicit FarRows(std::int64_t cols) : cols_(cols) {
    memory_ = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  ~FarRows() {
    if (there()) munmap(memory_, kBytes);
  }
  FarRows(const FarRows&) = delete;
  FarRows& operator=(const FarRows&) = delete;
  bool there() const { return memory_ != MAP_FAILED; }
  Matrix<float> view() { return {static_cast<float*>(memory_), kRows, cols_, kStride}; }
  FarRows& integers(Rng& rng) {
    for (std::int64_t r = 0; r < kRows; ++r)
      for (std::int64_t c = 0; c < cols_; ++c) view()(r, c) = static_cast<float>(rng.integer(-4, 4));
    return *this;
  }

 private:
  static constexpr std::size_t kBytes = static_cast<std::size_t>((kRows - 1) * kStride * 4 + (1 << 16));
  std::int64_t cols_;
  void* memory_;
};

#define SKIP_UNLESS_THERE(...)             \
  for (const FarRows* far : {__VA_ARGS__}) \
    if (!far->there()) GTEST_SKIP() << "this system gives no process 8 GB of addresses without memory"

/// All rows of the output from rows of the input, the far ones among them.
KernelMap crossing_map() {
  return oracle::make_map({{4, 0, 0}, {0, 1, 0}, {3, 2, 0}, {1, 4, 0}, {2, 3, 1}, {4, 4, 1}, {0, 0, 1}}, 5, 5, 2);
}

TEST(Large, convolution_reaches_far_rows) {
  for (const ConvVariant& v : conv_variants()) {
    if (!runs_here(v)) continue;
    SCOPED_TRACE(name(v));
    Rng rng(1);
    FarRows x(17), y(9);
    SKIP_UNLESS_THERE(&x, &y);
    x.integers(rng);
    const KernelMap map = crossing_map();
    std::vector<float> w(2 * 17 * 9);
    for (float& f : w) f = static_cast<float>(rng.integer(-4, 4));
    PackedWeights packed;
    pack_weights(v, w.data(), 2, 17, 9, WeightOrder::forward, packed);
    conv_forward(x.view(), packed, &map, {}, serial_executor(), y.view());
    expect_close(y.view(), oracle::conv(x.view(), w, &map, 9, nullptr, {}), 0);

    std::vector<float> gw(w.size());
    AlignedBuffer scratch;
    conv_weight_gradient(v, x.view(), y.view(), &map, 2, serial_executor(), scratch, gw.data());
    expect_close({gw.data(), 2 * 17, 9}, oracle::conv_weight_gradient(x.view(), y.view(), &map, 2), 0);
  }
}

TEST(Large, linear_rows_and_batch_norm_reach_far_rows) {
  for (const ConvVariant& v : conv_variants()) {
    if (!runs_here(v)) continue;
    SCOPED_TRACE(name(v));
    Rng rng(2);
    FarRows x(8), y(33);
    SKIP_UNLESS_THERE(&x, &y);
    x.integers(rng);
    std::vector<float> w(8 * 33), bias(33, 2.0f);
    for (float& f : w) f = static_cast<float>(rng.integer(-4, 4));
    PackedWeights packed;
    pack_weights(v, w.data(), 1, 8, 33, WeightOrder::forward, packed);
    conv_forward(x.view(), packed, nullptr, {.bias = bias.data()}, serial_executor(), y.view());
    expect_close(y.view(), oracle::conv(x.view(), w, nullptr, 33, bias.data(), {}), 0);

    const std::vector<float> one(33, 1.0f), zero(33, 0.0f);
    Guarded before(FarRows::kRows, 33);
    before.fill([&](auto r, auto c) { return y.view()(r, c); });
    batch_norm_apply(y.view(), zero.data(), one.data(), one.data(), one.data(), 0.0f, {}, Activation::none, 0.0f,
                     serial_executor(), y.view());
    for (std::int64_t r = 0; r < FarRows::kRows; ++r) EXPECT_EQ(y.view()(r, 32), before.view()(r, 32) + 1.0f);
  }
}

TEST(Large, gathered_and_reduced_rows_lie_far_apart) {
  Rng rng(3);
  FarRows x(3), y(3);
  SKIP_UNLESS_THERE(&x, &y);
  x.integers(rng);
  const std::vector<std::int32_t> index{4, 0, -1, 3, 4};
  gather_rows(index, x.view(), 7.0f, serial_executor(), y.view());
  for (std::int64_t r = 0; r < FarRows::kRows; ++r) {
    const std::int32_t from = index[static_cast<std::size_t>(r)];
    for (std::int64_t c = 0; c < 3; ++c) EXPECT_EQ(y.view()(r, c), from < 0 ? 7.0f : x.view()(from, c));
  }
  Voxels voxels;
  const std::int64_t begin[] = {0, FarRows::kRows};
  for (std::int64_t r = 0; r < FarRows::kRows; ++r) x.view()(r, 0) = r < 2 ? 0.5f : static_cast<float>(r);
  voxelize(x.view(), begin, {.dims = 1, .voxel_size = {1, 1, 1, 1}}, serial_executor(), voxels);
  ASSERT_EQ(voxels.coords.rows(), 4);
  Guarded mean(4, 3);
  reduce_to_voxels(voxels, x.view(), Reduction::mean, serial_executor(), mean.view());
  EXPECT_EQ(mean.view()(3, 2), x.view()(4, 2));
  EXPECT_EQ(mean.view()(0, 1), 0.5f * (x.view()(0, 1) + x.view()(1, 1)));
}

TEST(Large, slow_contiguous_result_of_more_than_4_gib) {
  constexpr std::int64_t kRows = (std::int64_t{1} << 25) + 5, kChannels = 32;  // 2^32 bytes and five rows more
  const std::int64_t needed = kRows * (kChannels + 1) * 4;
  if (const std::int64_t there = available_memory(); there < needed + (std::int64_t{2} << 30))
    GTEST_SKIP() << "needs " << needed / 1000000 << " MB and 2 GB to spare; " << there / 1000000 << " MB are available";
  AlignedBuffer x_memory, y_memory;
  float* x = x_memory.reserve_for<float>(kRows);
  float* y = y_memory.reserve_for<float>(kRows * kChannels);
  for (std::int64_t r = 0; r < kRows; ++r) x[r] = static_cast<float>(r % 1009);
  std::vector<float> w(kChannels);
  for (std::size_t c = 0; c < w.size(); ++c) w[c] = static_cast<float>(c) - 15.0f;
  PackedWeights packed;
  pack_weights(select_conv_variant(), w.data(), 1, 1, kChannels, WeightOrder::forward, packed);
  const auto pool = make_thread_pool(2);
  conv_forward({x, kRows, 1}, packed, nullptr, {}, *pool, {y, kRows, kChannels});
  for (const std::int64_t r : {std::int64_t{0}, kRows / 2, kRows - 6, kRows - 5, kRows - 1}) {
    for (std::int64_t c = 0; c < kChannels; ++c)
      ASSERT_EQ(y[r * kChannels + c], x[r] * w[static_cast<std::size_t>(c)]) << "row " << r;
  }
}

}  // namespace
}  // namespace rarefy::test
