// 8-bit convolutions against plain loops over integers: every variant must give the same bits.
#include "kernels/conv_int8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "conv_fixture.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "wish.h"

namespace rarefy::test {
namespace {

std::vector<std::string> int8_names() {
  std::vector<std::string> names;
  for (const Int8Variant& v : int8_variants()) names.emplace_back(v.name);
  return names;
}

/// One convolution of random integers, and what it must give.
struct Case {
  std::int64_t in = 1, out = 1, x_stride = 0, residual_stride = 0;
  bool linear = false;
  KernelMap map;
  Quantization x_is, to, residual_is;
  std::vector<std::uint8_t> x, stored_residual;
  std::vector<std::int8_t> weights;
  std::vector<float> scale, bias, residual;
  Int8Epilogue epilogue;

  std::int64_t in_rows() const { return map.in_rows; }
  std::int64_t rows() const { return map.out_rows; }
  const KernelMap* map_or_null() const { return linear ? nullptr : &map; }
  Matrix<const std::uint8_t> x_view() const { return {x.data(), in_rows(), in, x_stride}; }
};

Quantization any_quantization(Rng& rng, int most_bits) {
  return {.scale = static_cast<float>(std::exp(rng.uniform() * 4.0 - 5.0)),
          .bits = static_cast<int>(rng.integer(2, most_bits)),
          .has_sign = rng.chance(0.5)};
}

std::uint8_t any_stored(Rng& rng, const Quantization& q) {
  if (rng.chance(0.2)) return static_cast<std::uint8_t>(rng.chance(0.5) ? q.high() : q.low());
  return static_cast<std::uint8_t>(rng.integer(q.low(), q.high()));
}

void make_case(Rng& rng, int most_bits, Case& c) {
  c.linear = rng.chance(0.25);
  if (c.linear) {
    const std::int64_t rows = rng.integer(0, 700);
    c.map.in_rows = c.map.out_rows = rows;
    c.map.volume = 1;
  } else {
    c.map = random_conv_map(rng);
  }
  c.in = any_channels(rng);
  c.out = any_channels(rng);
  if (rng.chance(0.1)) c.in = rng.integer(120, 300);
  c.x_is = any_quantization(rng, most_bits);
  c.to = any_quantization(rng, 8);
  c.residual_is = any_quantization(rng, 8);
  // Rows are readable up to a multiple of four columns, and what lies there must not matter.
  c.x_stride = (c.in + 3) / 4 * 4 + rng.integer(0, 3);
  c.x.resize(static_cast<std::size_t>(c.in_rows() * c.x_stride + 4));
  for (auto& v : c.x) v = static_cast<std::uint8_t>(rng.integer(0, c.x_is.high()));
  for (std::int64_t r = 0; r < c.in_rows(); ++r)
    for (std::int64_t i = 0; i < c.in; ++i) c.x[static_cast<std::size_t>(r * c.x_stride + i)] = any_stored(rng, c.x_is);
  const std::int64_t most = (1 << (most_bits - 1)) - 1;
  c.weights.resize(static_cast<std::size_t>(c.map.volume * c.in * c.out));
  for (auto& w : c.weights)
    w = static_cast<std::int8_t>(rng.chance(0.2) ? (rng.chance(0.5) ? most : -most) : rng.integer(-most, most));
  for (std::int64_t j = 0; j < c.out; ++j) {
    c.scale.push_back(static_cast<float>(rng.uniform() * 1e-3 + 1e-5));
    c.bias.push_back(static_cast<float>(rng.normal()));
  }
  c.epilogue.scale = c.scale.data();
  if (rng.chance(0.7)) c.epilogue.bias = c.bias.data();
  c.residual_stride = c.out + rng.integer(0, 3);
  const auto size = static_cast<std::size_t>(c.rows() * c.residual_stride);
  if (rng.chance(0.3)) {
    c.residual = random_vector(rng, static_cast<std::int64_t>(size));
    c.epilogue.residual = {c.residual.data(), c.rows(), c.out, c.residual_stride};
  } else if (rng.chance(0.5)) {
    for (std::size_t i = 0; i < size; ++i) c.stored_residual.push_back(any_stored(rng, c.residual_is));
    c.epilogue.stored_residual = {c.stored_residual.data(), c.rows(), c.out, c.residual_stride};
    c.epilogue.residual_is = c.residual_is;
  }
  c.epilogue.activation = static_cast<Activation>(rng.integer(0, 2));
  c.epilogue.slope = 0.125f;
}

/// Sums of integers, then one rounding per operation of the epilogue. `volatile` keeps the compiler from fusing any.
std::vector<float> expected(const Case& c) {
  std::vector<std::int64_t> sums(static_cast<std::size_t>(c.rows() * c.out), 0);
  const auto add = [&](std::int64_t in_row, std::int64_t out_row, std::int64_t k) {
    for (std::int64_t i = 0; i < c.in; ++i) {
      const std::int64_t v = c.x[static_cast<std::size_t>(in_row * c.x_stride + i)] - c.x_is.zero();
      for (std::int64_t j = 0; j < c.out; ++j)
        sums[static_cast<std::size_t>(out_row * c.out + j)] +=
            v * c.weights[static_cast<std::size_t>((k * c.in + i) * c.out + j)];
    }
  };
  if (c.linear) {
    for (std::int64_t r = 0; r < c.rows(); ++r) add(r, r, 0);
  } else {
    for (const oracle::ConvPair& p : oracle::pairs_of(c.map)) add(p.in, p.out, p.k);
  }
  std::vector<float> y(sums.size());
  for (std::int64_t r = 0; r < c.rows(); ++r) {
    for (std::int64_t j = 0; j < c.out; ++j) {
      const auto i = static_cast<std::size_t>(r * c.out + j);
      volatile float v = static_cast<float>(sums[i]) * c.scale[static_cast<std::size_t>(j)];
      if (c.epilogue.bias != nullptr) v = v + c.epilogue.bias[j];
      if (c.epilogue.residual.data != nullptr) v = v + c.epilogue.residual(r, j);
      if (c.epilogue.stored_residual.data != nullptr) {
        const volatile float residual =
            static_cast<float>(c.epilogue.stored_residual(r, j) - c.residual_is.zero()) * c.residual_is.scale;
        v = v + residual;
      }
      if (v < 0.0f && c.epilogue.activation == Activation::relu) v = 0.0f;
      if (v < 0.0f && c.epilogue.activation == Activation::leaky_relu) v = v * c.epilogue.slope;
      y[i] = v;
    }
  }
  return y;
}

std::uint8_t stored(float value, const Quantization& q) {
  const volatile float steps = value * (1.0f / q.scale);
  const double rounded = std::nearbyint(static_cast<double>(steps)) + q.zero();
  return static_cast<std::uint8_t>(std::min<double>(std::max<double>(rounded, q.low()), q.high()));
}

class ConvInt8 : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const Int8Variant& v : int8_variants())
      if (v.name == GetParam()) variant_ = &v;
    ASSERT_NE(variant_, nullptr);
    if (!runs_here(*variant_)) GTEST_SKIP() << "this CPU (" << cpu::model_name() << ") lacks " << GetParam();
  }
  const Int8Variant& variant() const { return *variant_; }

 private:
  const Int8Variant* variant_ = nullptr;
};

TEST_P(ConvInt8, equals_the_sum_of_integers_bit_for_bit) {
  for_random_cases(60, [&](Rng& rng) {
    Case c;
    make_case(rng, variant().most_bits, c);
    Int8Weights packed;
    pack_int8_weights(variant(), c.weights.data(), c.map.volume, c.in, c.out, c.x_is.zero(), packed);
    AlignedBuffer scratch;
    const auto y = expected(c);
    const std::int64_t stride = c.out + rng.integer(0, 5);
    const auto pool = make_thread_pool(3);
    Executor& executor = rng.chance(0.5) ? *pool : serial_executor();
    std::vector<float> real(static_cast<std::size_t>(c.rows() * stride), kGuard);
    conv_int8(c.x_view(), packed, c.map_or_null(), c.epilogue, executor, scratch,
              {real.data(), c.rows(), c.out, stride});
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(c.rows() * stride), 0xAB);
    conv_int8(c.x_view(), packed, c.map_or_null(), c.epilogue, c.to, executor, scratch,
              {bytes.data(), c.rows(), c.out, stride});
    for (std::int64_t r = 0; r < c.rows(); ++r) {
      for (std::int64_t j = 0; j < stride; ++j) {
        const auto i = static_cast<std::size_t>(r * stride + j);
        if (j >= c.out) {
          ASSERT_EQ(real[i], kGuard) << "row " << r << ", beyond the last column";
          ASSERT_EQ(bytes[i], 0xAB) << "row " << r << ", beyond the last column";
          continue;
        }
        const float wanted = y[static_cast<std::size_t>(r * c.out + j)];
        ASSERT_EQ(real[i], wanted) << "row " << r << ", column " << j << ", " << c.in << " to " << c.out;
        ASSERT_EQ(bytes[i], stored(wanted, c.to)) << "row " << r << ", column " << j << ", value " << wanted;
      }
    }
  });
}

TEST_P(ConvInt8, extreme_values_saturate_nothing) {
  const int bits = variant().most_bits;
  const Quantization x_is{.bits = bits};
  constexpr std::int64_t kIn = 2400, kVolume = 27;  // 64,800 products
  KernelMap map;
  std::vector<oracle::ConvPair> pairs;
  for (std::int64_t k = 0; k < kVolume; ++k) pairs.push_back({0, 0, k});
  map = oracle::make_map(pairs, 1, 1, kVolume);
  const std::vector<std::uint8_t> x(kIn, static_cast<std::uint8_t>(x_is.high()));
  for (const int sign : {1, -1}) {
    const auto w = static_cast<std::int8_t>(sign * ((1 << (bits - 1)) - 1));
    const std::vector<std::int8_t> weights(static_cast<std::size_t>(kVolume * kIn), w);
    Int8Weights packed;
    pack_int8_weights(variant(), weights.data(), kVolume, kIn, 1, 0, packed);
    AlignedBuffer scratch;
    const float scale = 1.0f;
    float y = 0;
    conv_int8({x.data(), 1, kIn, kIn}, packed, &map, {.scale = &scale}, serial_executor(), scratch, {&y, 1, 1, 1});
    EXPECT_EQ(y, static_cast<float>(std::int64_t{w} * x_is.high() * kIn * kVolume));
  }
}

TEST_P(ConvInt8, refuses_what_does_not_fit) {
  Int8Weights packed;
  const std::vector<std::int8_t> weights(12, 1);
  const std::vector<float> scale(3, 1.0f);
  const std::vector<std::uint8_t> x(40, 1);
  std::vector<float> y(30, 7.0f);
  AlignedBuffer scratch;
  const auto run = [&](std::int64_t in, std::int64_t out, std::int64_t rows) {
    conv_int8({x.data(), 5, in, 8}, packed, nullptr, {.scale = scale.data()}, serial_executor(), scratch,
              {y.data(), rows, out, 6});
  };
  expect_error<UsageError>([&] { run(4, 3, 5); }, {"never packed"});
  pack_int8_weights(variant(), weights.data(), 1, 4, 3, 0, packed);
  expect_error<ShapeError>([&] { run(3, 3, 5); }, {"expect 4 input channels", "have 3"});
  expect_error<ShapeError>([&] { run(4, 2, 5); }, {"make 3 output channels", "has 2"});
  expect_error<ShapeError>([&] { run(4, 3, 4); }, {"input has 5, output 4"});
  EXPECT_EQ(y, std::vector<float>(30, 7.0f));
  expect_error<UnsupportedError>(
      [&] {
        const std::vector<std::int8_t> many(27 * 2500, 1);
        pack_int8_weights(variant(), many.data(), 27, 2500, 1, 0, packed);
      },
      {"may overflow"});
}

INSTANTIATE_TEST_SUITE_P(Variants, ConvInt8, testing::ValuesIn(int8_names()),
                         [](const auto& info) { return info.param; });

TEST(Int8Variant, is_chosen_by_bits_and_instruction_set) {
  {
    const Wish wish("avx2");
    if (cpu::has(cpu::Isa::avx2)) {
      EXPECT_EQ(select_int8_variant(7).name, "avx2_seven");
      EXPECT_EQ(select_int8_variant(8).name, "avx2");
    }
  }
  const Wish wish("portable");
  EXPECT_EQ(select_int8_variant(4).name, "portable");
  expect_error<UsageError>([] { select_int8_variant(9); }, {"2 to 8 bits", "9"});
}

TEST(Quantize, rows_are_rounded_clamped_and_restored) {
  for_random_cases(20, [](Rng& rng) {
    const Quantization q = any_quantization(rng, 8);
    const std::int64_t rows = rng.integer(0, 40), cols = any_channels(rng);
    Guarded x(rows, cols, 2, 1), back(rows, cols, 1), rounded(rows, cols);
    x.fill([&](auto, auto) { return rng.normal() * q.scale * q.high(); });
    if (rows > 0) x.view()(0, 0) = std::numeric_limits<float>::quiet_NaN();
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(rows * cols));
    const Matrix<std::uint8_t> stored_rows{bytes.data(), rows, cols, cols};
    quantize_rows(x.view(), q, serial_executor(), stored_rows);
    dequantize_rows(stored_rows, q, serial_executor(), back.view());
    round_rows(x.view(), q, serial_executor(), rounded.view());
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        const float v = x.view()(r, c);
        ASSERT_EQ(stored_rows(r, c), std::isnan(v) ? q.low() : stored(v, q)) << v;
        ASSERT_EQ(back.view()(r, c), static_cast<float>(stored_rows(r, c) - q.zero()) * q.scale);
        ASSERT_EQ(rounded.view()(r, c), back.view()(r, c)) << v;
      }
    }
    EXPECT_TRUE(back.intact());
  });
}

TEST(Quantize, weights_are_symmetric_per_output_channel) {
  const std::vector<float> weights{1.0f, 0.0f, -4.0f, -2.0f, 0.0f, 1.0f};  // [2, 3]
  std::vector<std::int8_t> values(6);
  std::vector<float> scales(3);
  quantize_weights(weights.data(), 2, 3, 8, values.data(), scales.data());
  EXPECT_EQ(values, (std::vector<std::int8_t>{64, 0, -127, -127, 0, 32}));
  EXPECT_EQ(scales, (std::vector<float>{2.0f / 127, 1.0f, 4.0f / 127}));
}

}  // namespace
}  // namespace rarefy::test
