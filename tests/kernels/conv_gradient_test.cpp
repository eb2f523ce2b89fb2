// Input gradient (a convolution with transposed weights) and weight gradient.
#include "conv_fixture.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

class ConvInputGradient : public ConvVariants {
 protected:
  /// gx over the transposed map, or over the map itself with flipped offsets.
  void input_gradient(Matrix<const float> gy, const std::vector<float>& w, const KernelMap* map, WeightOrder order,
                      Matrix<float> gx) const {
    PackedWeights packed;
    pack_weights(variant(), w.data(), map == nullptr ? 1 : map->volume, gx.cols, gy.cols, order, packed);
    conv_forward(gy, packed, map, {}, serial_executor(), gx);
  }
};
class ConvWeightGradient : public ConvVariants {
 protected:
  void weight_gradient(Matrix<const float> x, Matrix<const float> gy, const KernelMap* map, float* gw,
                       Executor& executor = serial_executor()) const {
    AlignedBuffer scratch;
    conv_weight_gradient(variant(), x, gy, map, map == nullptr ? 1 : map->volume, executor, scratch, gw);
  }
};

double dot(Matrix<const float> a, Matrix<const float> b, double* magnitude) {
  double sum = 0.0;
  *magnitude = 0.0;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < a.cols; ++c) {
      sum += double{a(r, c)} * b(r, c);
      *magnitude += std::abs(double{a(r, c)} * b(r, c));
    }
  }
  return sum;
}

TEST_P(ConvInputGradient, matches_oracle_over_the_transposed_map) {
  for_random_cases(20, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const KernelMap back = oracle::transposed(map);
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded gy(map.out_rows, out, rng.integer(0, 3)), gx(map.in_rows, in, rng.integer(0, 3), 1);
    gy.normal(rng);
    const auto w = random_vector(rng, map.volume * in * out);
    input_gradient(gy.view(), w, &back, WeightOrder::transposed, gx.view());
    expect_close(gx.view(), oracle::conv_input_gradient(gy.view(), w, &map, map.in_rows, in), map.pairs() * out);
    EXPECT_TRUE(gx.intact());
  });
}

TEST_P(ConvInputGradient, flipped_offsets_replace_the_transposed_map) {
  for_random_cases(12, [&](Rng& rng) {
    const KernelMap map = oracle::random_submanifold_map(rng, 600, rng.chance(0.5) ? 3 : 5);
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded gy(map.out_rows, out), gx(map.in_rows, in);
    gy.normal(rng);
    const auto w = random_vector(rng, map.volume * in * out);
    input_gradient(gy.view(), w, &map, WeightOrder::transposed_flipped, gx.view());
    expect_close(gx.view(), oracle::conv_input_gradient(gy.view(), w, &map, map.in_rows, in), longest_sum(&map, out));
  });
}

TEST_P(ConvInputGradient, is_the_adjoint_of_the_forward_pass) {
  for_random_cases(10, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const KernelMap back = oracle::transposed(map);
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in), y(map.out_rows, out), gy(map.out_rows, out), gx(map.in_rows, in);
    x.normal(rng);
    gy.normal(rng);
    const auto w = random_vector(rng, map.volume * in * out);
    forward(x.view(), w, &map, {}, y.view());
    input_gradient(gy.view(), w, &back, WeightOrder::transposed, gx.view());
    double scale_y = 0.0, scale_x = 0.0;
    const double left = dot(y.view(), gy.view(), &scale_y);
    const double right = dot(x.view(), gx.view(), &scale_x);
    const double eps = std::numeric_limits<float>::epsilon();
    EXPECT_NEAR(left, right, eps * static_cast<double>(longest_sum(&map, in + out)) * (scale_x + scale_y) + 1e-20);
  });
}

TEST_P(ConvInputGradient, linear_layer) {
  Rng rng(3);
  const std::int64_t in = 33, out = 20, rows = 777;
  Guarded gy(rows, out), gx(rows, in);
  gy.normal(rng);
  const auto w = random_vector(rng, in * out);
  input_gradient(gy.view(), w, nullptr, WeightOrder::transposed, gx.view());
  expect_close(gx.view(), oracle::conv_input_gradient(gy.view(), w, nullptr, rows, in), out);
}

TEST_P(ConvWeightGradient, matches_oracle) {
  for_random_cases(30, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in, rng.integer(0, 5), rng.integer(0, 3));
    Guarded gy(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3));
    x.normal(rng);
    gy.normal(rng);
    Guarded gw(map.volume * in, out, 0, rng.integer(0, 3));
    weight_gradient(x.view(), gy.view(), &map, gw.view().data);
    expect_close(gw.view(), oracle::conv_weight_gradient(x.view(), gy.view(), &map, map.volume), map.pairs());
    EXPECT_TRUE(gw.intact());
  });
}

TEST_P(ConvWeightGradient, every_pair_of_channel_counts_is_exact_on_integers) {
  Rng rng(4);
  const KernelMap map = oracle::random_map(rng, 50, 70, 2, 0.6);
  for (const std::int64_t in : kChannels) {
    for (const std::int64_t out : kChannels) {
      Guarded x(map.in_rows, in, 2, 1), gy(map.out_rows, out, 1, 3), gw(map.volume * in, out, 0, 1);
      x.integers(rng);
      gy.integers(rng);
      weight_gradient(x.view(), gy.view(), &map, gw.view().data);
      const auto expected = oracle::conv_weight_gradient(x.view(), gy.view(), &map, map.volume);
      for (std::size_t i = 0; i < expected.value.size(); ++i) {
        ASSERT_EQ(gw.view().data[i], expected.value[i]) << in << " to " << out;
      }
      ASSERT_TRUE(gw.intact()) << in << " to " << out;
    }
  }
}

TEST_P(ConvWeightGradient, is_adjoint_in_the_weights) {
  for_random_cases(10, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in), y(map.out_rows, out), gy(map.out_rows, out), gw(map.volume * in, out);
    x.normal(rng);
    gy.normal(rng);
    auto w = random_vector(rng, map.volume * in * out);
    forward(x.view(), w, &map, {}, y.view());
    weight_gradient(x.view(), gy.view(), &map, gw.view().data);
    double scale_y = 0.0, scale_w = 0.0;
    const double left = dot(y.view(), gy.view(), &scale_y);
    const double right = dot(Matrix<float>(w.data(), map.volume * in, out), gw.view(), &scale_w);
    const double terms = static_cast<double>(map.pairs() + longest_sum(&map, in));
    EXPECT_NEAR(left, right, std::numeric_limits<float>::epsilon() * terms * (scale_y + scale_w) + 1e-20);
  });
}

TEST_P(ConvWeightGradient, linear_layer_with_many_rows_and_same_bits_for_any_number_of_threads) {
  Rng rng(5);
  const auto pool = make_thread_pool(4);
  const std::int64_t in = 17, out = 21, rows = 9000;
  Guarded x(rows, in), gy(rows, out), one(in, out), four(in, out);
  x.normal(rng);
  gy.normal(rng);
  weight_gradient(x.view(), gy.view(), nullptr, one.view().data);
  weight_gradient(x.view(), gy.view(), nullptr, four.view().data, *pool);
  expect_close(one.view(), oracle::conv_weight_gradient(x.view(), gy.view(), nullptr, 1), rows);
  EXPECT_TRUE(same_bits(one.view(), four.view()));
}

TEST_P(ConvWeightGradient, many_rows_are_cut_into_parts_with_the_same_bits_for_any_number_of_threads) {
  Rng rng(5);
  const auto pool = make_thread_pool(4);
  struct Size {
    std::int64_t in, out;
    double density;
  };
  // Sums of all offsets that fit into cache, where a part takes them all, and larger ones, where it takes one.
  for (const Size& size : {Size{17, 21, 0.6}, Size{150, 100, 0.3}}) {
    const std::int64_t rows = 9000, volume = 9;
    Guarded x(rows, size.in, 1), gy(rows, size.out, 2);
    x.normal(rng);
    gy.normal(rng);
    const KernelMap map = oracle::random_map(rng, rows, rows, volume, size.density);
    Guarded one(volume * size.in, size.out), four(volume * size.in, size.out);
    weight_gradient(x.view(), gy.view(), &map, one.view().data);
    weight_gradient(x.view(), gy.view(), &map, four.view().data, *pool);
    expect_close(one.view(), oracle::conv_weight_gradient(x.view(), gy.view(), &map, volume), map.pairs());
    EXPECT_TRUE(same_bits(one.view(), four.view()));
  }
}

TEST_P(ConvWeightGradient, empty_maps_and_offsets_give_zero) {
  Rng rng(6);
  for (const auto& [in_rows, out_rows] : {std::pair{0, 0}, {5, 0}, {0, 300}, {40, 40}}) {
    const KernelMap map = oracle::make_map({}, in_rows, out_rows, 3);
    Guarded x(in_rows, 4), gy(out_rows, 6), gw(12, 6);
    x.normal(rng);
    gy.normal(rng);
    weight_gradient(x.view(), gy.view(), &map, gw.view().data);
    for (std::int64_t i = 0; i < 72; ++i) ASSERT_EQ(gw.view().data[i], 0.0f);
  }
  Guarded none(0, 4), empty(0, 6), gw(4, 6);
  weight_gradient(none.view(), empty.view(), nullptr, gw.view().data);
  for (std::int64_t i = 0; i < 24; ++i) ASSERT_EQ(gw.view().data[i], 0.0f);
}

TEST_P(ConvWeightGradient, not_a_number_stays_in_its_offset_and_channel) {
  const KernelMap map = oracle::make_map({{0, 0, 0}, {1, 0, 1}}, 2, 1, 2);
  Guarded x(2, 3), gy(1, 18), gw(6, 18);
  x.fill([](auto r, auto c) { return r == 1 && c == 2 ? std::numeric_limits<double>::quiet_NaN() : 1.0; });
  gy.fill([](auto, auto) { return 1.0; });
  weight_gradient(x.view(), gy.view(), &map, gw.view().data);
  for (std::int64_t r = 0; r < 6; ++r) {
    for (std::int64_t c = 0; c < 18; ++c) ASSERT_EQ(std::isnan(gw.view()(r, c)), r == 5);
  }
}

const auto kName = [](const auto& i) { return i.param; };
INSTANTIATE_TEST_SUITE_P(All, ConvInputGradient, testing::ValuesIn(variant_names()), kName);
INSTANTIATE_TEST_SUITE_P(All, ConvWeightGradient, testing::ValuesIn(variant_names()), kName);

}  // namespace
}  // namespace rarefy::test
