// Convolutions on 16-bit rows and weights against the oracle, in every mixture of precisions, by every variant.
#include "kernels/conv_half.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "conv_fixture.h"
#include "kernels/cpu/conv_half/kernels.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

std::vector<std::string> half_names() {
  std::vector<std::string> names;
  for (const HalfVariant& v : half_variants()) names.emplace_back(v.name);
  return names;
}

constexpr std::uint16_t kHalfGuard = 0xFDEA;  // a NaN: whoever reads it spoils a sum

/// Rows in one precision, of any stride and alignment, surrounded by guards; the values as fp32 beside them.
class AnyRows {
 public:
  AnyRows(Rng& rng, Dtype dtype, std::int64_t rows, std::int64_t cols)
      : dtype_(dtype), rows_(rows), cols_(cols), stride_(cols + rng.integer(0, 5)), shift_(rng.integer(0, 3)) {
    const auto size = static_cast<std::size_t>(rows * stride_ + shift_ + 16);
    if (dtype == Dtype::f16)
      halves_.assign(size, Half{kHalfGuard});
    else
      floats_.assign(size, kGuard);
    values_.resize(static_cast<std::size_t>(rows * cols));
  }
  template <class F>
  void fill(F&& value) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < cols_; ++c) {
        const auto i = static_cast<std::size_t>(shift_ + r * stride_ + c);
        float v = static_cast<float>(value(r, c));
        if (dtype_ == Dtype::f16) {
          halves_[i] = narrow(v);
          v = widen(halves_[i]);
        } else {
          floats_[i] = v;
        }
        values_[static_cast<std::size_t>(r * cols_ + c)] = v;
      }
    }
  }
  FloatRows view() const {
    if (dtype_ == Dtype::f16) return Matrix<const Half>{halves_.data() + shift_, rows_, cols_, stride_};
    return Matrix<const float>{floats_.data() + shift_, rows_, cols_, stride_};
  }
  FloatRowsOut out() {
    if (dtype_ == Dtype::f16) return Matrix<Half>{halves_.data() + shift_, rows_, cols_, stride_};
    return Matrix<float>{floats_.data() + shift_, rows_, cols_, stride_};
  }
  /// What was filled in.
  Matrix<const float> values() const { return {values_.data(), rows_, cols_}; }
  /// What lies there now.
  float operator()(std::int64_t r, std::int64_t c) const {
    const auto i = static_cast<std::size_t>(shift_ + r * stride_ + c);
    return dtype_ == Dtype::f16 ? widen(halves_[i]) : floats_[i];
  }
  Dtype dtype() const { return dtype_; }
  bool intact() const {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(std::max(halves_.size(), floats_.size())); ++i) {
      const std::int64_t at = i - shift_;
      if (at >= 0 && at < rows_ * stride_ && at % stride_ < cols_) continue;
      const auto u = static_cast<std::size_t>(i);
      if (dtype_ == Dtype::f16 ? halves_[u].bits != kHalfGuard : floats_[u] != kGuard) return false;
    }
    return true;
  }
  bool operator==(const AnyRows& o) const {
    return halves_ == o.halves_ && floats_.size() == o.floats_.size() &&
           (floats_.empty() || std::memcmp(floats_.data(), o.floats_.data(), floats_.size() * sizeof(float)) == 0);
  }

 private:
  Dtype dtype_;
  std::int64_t rows_, cols_, stride_, shift_;
  std::vector<Half> halves_;
  std::vector<float> floats_, values_;
};

Dtype any_dtype(Rng& rng) { return rng.chance(0.7) ? Dtype::f16 : Dtype::f32; }

enum class Values : std::uint8_t { normal, integers };

/// One convolution in any mixture of precisions.
struct Case {
  bool linear;
  KernelMap map;
  std::int64_t in, out;
  std::unique_ptr<AnyRows> x, residual;
  std::vector<float> weights, factor, bias;
  HalfEpilogue epilogue;

  Case(Rng& rng, Values kind) : linear(rng.chance(0.25)), in(any_channels(rng)), out(any_channels(rng)) {
    if (linear) {
      map.in_rows = map.out_rows = rng.integer(0, 700);
      map.volume = 1;
    } else {
      map = random_conv_map(rng);
    }
    const auto value = [&](auto, auto) {
      return kind == Values::integers ? static_cast<double>(rng.integer(-4, 4)) : rng.normal();
    };
    x = std::make_unique<AnyRows>(rng, any_dtype(rng), map.in_rows, in);
    x->fill(value);
    for (std::int64_t i = 0; i < map.volume * in * out; ++i) weights.push_back(widen(narrow(float(value(0, 0)))));
    for (std::int64_t j = 0; j < out; ++j) {
      factor.push_back(kind == Values::integers ? std::ldexp(1.0f, static_cast<int>(rng.integer(-1, 1)))
                                                : static_cast<float>(rng.normal()));
      bias.push_back(static_cast<float>(value(0, 0)));
    }
    if (rng.chance(0.3)) factor.clear();
    if (rng.chance(0.3)) bias.clear();
    epilogue.bias = bias.empty() ? nullptr : bias.data();
    if (rng.chance(0.5)) {
      residual = std::make_unique<AnyRows>(rng, any_dtype(rng), map.out_rows, out);
      residual->fill(value);
      epilogue.residual = residual->view();
    }
    epilogue.activation = static_cast<Activation>(rng.integer(0, 2));
    epilogue.slope = 0.125f;
  }

  const KernelMap* map_or_null() const { return linear ? nullptr : &map; }
  std::vector<float> scaled_weights() const {
    std::vector<float> scaled = weights;
    for (std::size_t i = 0; i < scaled.size() && !factor.empty(); ++i) scaled[i] *= factor[i % factor.size()];
    return scaled;
  }
  oracle::Values expected() const {
    return oracle::conv(x->values(), scaled_weights(), map_or_null(), out, epilogue.bias,
                        residual ? residual->values() : Matrix<const float>{});
  }
  double ended(double v) const {
    if (v < 0 && epilogue.activation == Activation::relu) return 0;
    return v < 0 && epilogue.activation == Activation::leaky_relu ? 0.125 * v : v;
  }
  void run(const HalfVariant& variant, AnyRows& y, Executor& executor = serial_executor()) const {
    HalfWeights packed;
    pack_half_weights(variant, weights.data(), map.volume, in, out, factor, packed);
    AlignedBuffer scratch;
    conv_half(x->view(), packed, map_or_null(), epilogue, executor, scratch, y.out());
  }
};

class ConvHalf : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const HalfVariant& v : half_variants())
      if (v.name == GetParam()) variant_ = &v;
    ASSERT_NE(variant_, nullptr);
    if (!runs_here(*variant_)) GTEST_SKIP() << "this CPU (" << cpu::model_name() << ") lacks " << GetParam();
  }
  const HalfVariant& variant() const { return *variant_; }

 private:
  const HalfVariant* variant_ = nullptr;
};

TEST_P(ConvHalf, matches_the_oracle_to_one_rounding) {
  for_random_cases(80, [&](Rng& rng) {
    const Case c(rng, Values::normal);
    AnyRows y(rng, any_dtype(rng), c.map.out_rows, c.out);
    c.run(variant(), y);
    const oracle::Values wanted = c.expected();
    const double eps =
        std::numeric_limits<float>::epsilon() * static_cast<double>(longest_sum(c.map_or_null(), c.in) + 2);
    for (std::int64_t r = 0; r < c.map.out_rows; ++r) {
      for (std::int64_t j = 0; j < c.out; ++j) {
        const auto i = static_cast<std::size_t>(r * c.out + j);
        const double value = c.ended(wanted.value[i]);
        double bound = eps * wanted.magnitude[i] + 1e-30;
        if (y.dtype() == Dtype::f16) bound = (bound + std::abs(value)) * 0x1p-11 + bound + 0x1p-25;
        ASSERT_NEAR(y(r, j), value, bound) << "row " << r << ", column " << j << ", " << c.in << " to " << c.out;
      }
    }
    EXPECT_TRUE(y.intact());
  });
}

TEST_P(ConvHalf, sums_of_integers_are_rounded_once) {
  for_random_cases(60, [&](Rng& rng) {
    const Case c(rng, Values::integers);
    AnyRows y(rng, any_dtype(rng), c.map.out_rows, c.out);
    c.run(variant(), y);
    const oracle::Values wanted = c.expected();
    for (std::int64_t r = 0; r < c.map.out_rows; ++r) {
      for (std::int64_t j = 0; j < c.out; ++j) {
        const auto exact = static_cast<float>(c.ended(wanted.value[static_cast<std::size_t>(r * c.out + j)]));
        ASSERT_EQ(y(r, j), y.dtype() == Dtype::f16 ? widen(narrow(exact)) : exact) << "row " << r << ", column " << j;
      }
    }
  });
}

TEST_P(ConvHalf, same_bits_for_any_number_of_threads) {
  const auto pool = make_thread_pool(4);
  for_random_cases(30, [&](Rng& rng) {
    const Case c(rng, Values::normal);
    AnyRows one(rng, any_dtype(rng), c.map.out_rows, c.out);
    AnyRows many = one;
    c.run(variant(), one);
    c.run(variant(), many, *pool);
    EXPECT_EQ(one, many);
  });
}

TEST_P(ConvHalf, linear_rows_are_those_of_fp32_rounded) {
  const ConvVariant* fp32 = nullptr;
  for (const ConvVariant& v : conv_variants())
    if (v.kernels == variant().products) fp32 = &v;
  ASSERT_NE(fp32, nullptr);
  for_random_cases(80, [&](Rng& rng) {
    const Case c(rng, Values::normal);
    if (!c.linear || c.residual) return;
    AnyRows y(rng, Dtype::f16, c.map.out_rows, c.out);
    c.run(variant(), y);
    PackedWeights packed;
    pack_weights(*fp32, c.scaled_weights().data(), 1, c.in, c.out, WeightOrder::forward, packed);
    Guarded real(c.map.out_rows, c.out);
    conv_forward(c.x->values(), packed, nullptr,
                 {.bias = c.epilogue.bias, .activation = c.epilogue.activation, .slope = c.epilogue.slope},
                 serial_executor(), real.view());
    for (std::int64_t r = 0; r < c.map.out_rows; ++r)
      for (std::int64_t j = 0; j < c.out; ++j) ASSERT_EQ(y(r, j), widen(narrow(real.view()(r, j))));
  });
}

TEST_P(ConvHalf, what_is_not_finite_passes_and_what_overflows_is_infinite) {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  Rng rng(1);
  AnyRows x(rng, Dtype::f16, 7, 1), y(rng, Dtype::f16, 7, 1);
  const float values[] = {kInf, -kInf, kNan, 300.0f, 0x1p-20f, 0x1p-24f, -300.0f};
  x.fill([&](std::int64_t r, auto) { return values[r]; });
  for (const Activation activation : {Activation::none, Activation::relu}) {
    const float weight = activation == Activation::none ? 256.0f : 0.5f;
    HalfWeights packed;
    pack_half_weights(variant(), &weight, 1, 1, 1, {}, packed);
    AlignedBuffer scratch;
    conv_half(x.view(), packed, nullptr, {.activation = activation}, serial_executor(), scratch, y.out());
    EXPECT_EQ(y(0, 0), kInf);
    EXPECT_EQ(y(1, 0), activation == Activation::none ? -kInf : 0.0f);
    EXPECT_TRUE(std::isnan(y(2, 0)));
    EXPECT_EQ(y(3, 0), activation == Activation::none ? kInf : 150.0f) << "76,800 is more than a half holds";
    EXPECT_EQ(y(4, 0), weight * 0x1p-20f) << "a denormal half";
    EXPECT_EQ(y(5, 0), activation == Activation::none ? 0x1p-16f : 0.0f) << "half of the least is a tie, to even";
    EXPECT_EQ(y(6, 0), activation == Activation::none ? -kInf : 0.0f);
  }
  EXPECT_TRUE(y.intact());
}

TEST_P(ConvHalf, conversions_have_the_bits_of_the_portable_ones) {
  std::vector<Half> halves(65536), back(65536);
  for (std::uint32_t i = 0; i < 65536; ++i) halves[i].bits = static_cast<std::uint16_t>(i);
  std::vector<float> wide(65536);
  const std::int32_t row = 0;
  variant().rows->widen_rows({&halves[0].bits, 65536, &row, 1, 65536, wide.data(), 65536});
  for (std::size_t i = 0; i < 65536; ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]), std::bit_cast<std::uint32_t>(widen(halves[i]))) << i;
  for_random_cases(20, [&](Rng& rng) {
    for (float& v : wide) v = std::bit_cast<float>(static_cast<std::uint32_t>(rng.integer(0, 0xFFFFFFFFll)));
    variant().rows->end_rows({wide.data(), 65536, 1, 65536, conv_cpu::Ending::none, 0.0f, &back[0].bits, 65536});
    for (std::size_t i = 0; i < 65536; ++i) ASSERT_EQ(back[i], narrow(wide[i])) << wide[i];
  });
}

TEST_P(ConvHalf, refuses_what_does_not_fit) {
  HalfWeights packed;
  const std::vector<float> weights(12, 1.0f);
  const std::vector<Half> x(40);
  std::vector<Half> y(30, Half{7});
  AlignedBuffer scratch;
  const auto run = [&](std::int64_t in, std::int64_t out, std::int64_t rows, const HalfEpilogue& epilogue = {}) {
    conv_half(Matrix<const Half>{x.data(), 5, in, 8}, packed, nullptr, epilogue, serial_executor(), scratch,
              Matrix<Half>{y.data(), rows, out, 6});
  };
  expect_error<UsageError>([&] { run(4, 3, 5); }, {"never packed"});
  expect_error<ShapeError>([&] { pack_half_weights(variant(), weights.data(), 1, 4, 0, {}, packed); }, {"at least 1"});
  expect_error<ShapeError>(
      [&] {
        const std::vector<float> two(2, 1.0f);
        pack_half_weights(variant(), weights.data(), 1, 4, 3, two, packed);
      },
      {"2 factors for 3"});
  pack_half_weights(variant(), weights.data(), 1, 4, 3, {}, packed);
  expect_error<ShapeError>([&] { run(3, 3, 5); }, {"expect 4 input channels", "have 3"});
  expect_error<ShapeError>([&] { run(4, 2, 5); }, {"make 3 output channels", "has 2"});
  expect_error<ShapeError>([&] { run(4, 3, 4); }, {"input has 5, output 4"});
  expect_error<ShapeError>(
      [&] {
        run(4, 3, 5, {.residual = Matrix<const Half>{x.data(), 4, 3, 8}});
      },
      {"residual is [4, 3], the output [5, 3]"});
  EXPECT_EQ(y, std::vector<Half>(30, Half{7}));
}

INSTANTIATE_TEST_SUITE_P(Variants, ConvHalf, testing::ValuesIn(half_names()),
                         [](const auto& info) { return info.param; });

TEST(HalfVariant, is_chosen_by_instruction_set) {
  EXPECT_EQ(select_half_variant(cpu::Isa::portable).name, "portable_half");
  if (cpu::has(cpu::Isa::avx2)) {
    EXPECT_EQ(select_half_variant(cpu::Isa::avx2).name, "avx2_half");
  }
}

}  // namespace
}  // namespace rarefy::test
