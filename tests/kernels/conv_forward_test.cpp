#include <algorithm>
#include <array>

#include "conv_fixture.h"
#include "support/random_cases.h"

namespace rarefy::test {
namespace {

class ConvForward : public ConvVariants {};

TEST_P(ConvForward, matches_oracle) {
  for_random_cases(40, [&](Rng& rng) {
    const KernelMap map = random_conv_map(rng);
    const std::int64_t in = any_channels(rng), out = any_channels(rng);
    Guarded x(map.in_rows, in, rng.integer(0, 5), rng.integer(0, 3));
    Guarded y(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3));
    Guarded residual(map.out_rows, out, rng.integer(0, 5), rng.integer(0, 3));
    x.normal(rng);
    residual.normal(rng);
    const auto w = random_vector(rng, map.volume * in * out);
    const auto bias = random_vector(rng, out);
    ConvEpilogue epilogue;
    if (rng.chance(0.5)) epilogue.bias = bias.data();
    if (rng.chance(0.5)) epilogue.residual = residual.view();
    forward(x.view(), w, &map, epilogue, y.view());
    const auto expected = oracle::conv(x.view(), w, &map, out, epilogue.bias, epilogue.residual);
    expect_close(y.view(), expected, longest_sum(&map, in) + 2);
    EXPECT_TRUE(y.intact());
  });
}

TEST_P(ConvForward, every_pair_of_channel_counts_is_exact_on_integers) {
  Rng rng(7);
  const KernelMap map = oracle::random_map(rng, 40, 45, 2, 0.7);
  for (const std::int64_t in : kChannels) {
    for (const std::int64_t out : kChannels) {
      Guarded x(map.in_rows, in, 1), y(map.out_rows, out, 3, 1), w(map.volume * in, out);
      x.integers(rng);
      w.integers(rng);
      const std::vector<float> weights(w.view().data, w.view().data + map.volume * in * out);
      forward(x.view(), weights, &map, {}, y.view());
      const auto expected = oracle::conv(x.view(), weights, &map, out, nullptr, {});
      for (std::int64_t r = 0; r < map.out_rows; ++r) {
        for (std::int64_t c = 0; c < out; ++c) {
          ASSERT_EQ(y.view()(r, c), expected.value[static_cast<std::size_t>(r * out + c)]) << in << " to " << out;
        }
      }
      ASSERT_TRUE(y.intact()) << in << " to " << out;
    }
  }
}

TEST_P(ConvForward, every_number_of_pairs_in_a_block_is_exact_on_integers) {
  Rng rng(8);
  for (std::int64_t rows = 0; rows <= 30; ++rows) {
    const KernelMap map = oracle::random_map(rng, 30, rows, 1, 1.0);
    for (const std::int64_t out : {5, 20, 40, 70}) {
      Guarded x(map.in_rows, 6), y(rows, out);
      x.integers(rng);
      const std::vector<float> weights(static_cast<std::size_t>(6 * out), 2.0f);
      forward(x.view(), weights, &map, {}, y.view());
      const auto expected = oracle::conv(x.view(), weights, &map, out, nullptr, {});
      for (std::int64_t i = 0; i < rows * out; ++i) {
        ASSERT_EQ(y.view()(i / out, i % out), expected.value[static_cast<std::size_t>(i)]) << rows << " rows";
      }
      ASSERT_TRUE(y.intact());
    }
  }
}

TEST_P(ConvForward, linear_layer_matches_oracle) {
  for_random_cases(20, [&](Rng& rng) {
    const std::int64_t rows = rng.integer(0, 700), in = any_channels(rng), out = any_channels(rng);
    Guarded x(rows, in, rng.integer(0, 5), rng.integer(0, 3)), y(rows, out, rng.integer(0, 5), rng.integer(0, 3));
    x.normal(rng);
    const auto w = random_vector(rng, in * out);
    const auto bias = random_vector(rng, out);
    ConvEpilogue epilogue;
    if (rng.chance(0.5)) epilogue.bias = bias.data();
    forward(x.view(), w, nullptr, epilogue, y.view());
    expect_close(y.view(), oracle::conv(x.view(), w, nullptr, out, epilogue.bias, {}), in + 1);
    EXPECT_TRUE(y.intact());
  });
}

TEST_P(ConvForward, epilogue_combinations) {
  Rng rng(11);
  const KernelMap map = oracle::random_map(rng, 280, 300, 3, 0.6);
  const std::int64_t in = 5, out = 21;
  Guarded x(280, in), residual(300, out, 2);
  x.normal(rng);
  residual.normal(rng);
  const auto w = random_vector(rng, map.volume * in * out);
  const auto bias = random_vector(rng, out);
  for (const KernelMap* m : {static_cast<const KernelMap*>(&map), static_cast<const KernelMap*>(nullptr)}) {
    const std::int64_t rows = m == nullptr ? 280 : 300;
    Matrix<const float> add = residual.view();
    add.rows = rows;
    for (int mask = 0; mask < 4; ++mask) {
      for (const auto activation : {Activation::none, Activation::relu, Activation::leaky_relu}) {
        ConvEpilogue epilogue;
        if ((mask & 1) != 0) epilogue.bias = bias.data();
        if ((mask & 2) != 0) epilogue.residual = add;
        epilogue.activation = activation;
        epilogue.slope = 0.125f;
        Guarded y(rows, out, 4);
        forward(x.view(), w, m, epilogue, y.view());
        auto expected = oracle::conv(x.view(), w, m, out, epilogue.bias, epilogue.residual);
        for (double& v : expected.value) {
          if (v < 0.0 && activation != Activation::none) v *= activation == Activation::relu ? 0.0 : 0.125;
        }
        expect_close(y.view(), expected, longest_sum(m, in) + 2);
        EXPECT_TRUE(y.intact());
        if (epilogue.residual.data == nullptr) continue;
        Guarded in_place = residual;  // the output may be the residual
        Matrix<float> z = in_place.view();
        z.rows = rows;
        epilogue.residual = z;
        forward(x.view(), w, m, epilogue, z);
        EXPECT_TRUE(same_bits(z, y.view()));
      }
    }
  }
}

TEST_P(ConvForward, writes_a_column_range_of_the_matrix_it_reads) {
  Rng rng(12);
  const KernelMap map = oracle::random_submanifold_map(rng, 400, 3);
  Guarded wide(map.in_rows, 40);
  wide.normal(rng);
  Guarded before = wide;
  const Matrix<float> all = wide.view();
  const Matrix<float> x(all.data, all.rows, 17, all.row_stride), y(all.data + 17, all.rows, 20, all.row_stride);
  const auto w = random_vector(rng, map.volume * 17 * 20);
  forward(x, w, &map, {}, y);
  expect_close(y, oracle::conv(x, w, &map, 20, nullptr, {}), longest_sum(&map, 17));
  for (std::int64_t r = 0; r < all.rows; ++r) {
    for (std::int64_t c = 0; c < 40; ++c) {
      if (c >= 17 && c < 37) continue;
      ASSERT_EQ(all(r, c), before.view()(r, c));
    }
  }
}

TEST_P(ConvForward, dense_box_equals_dense_convolution) {
  constexpr int nx = 7, ny = 6, nz = 11;
  const KernelMap map = oracle::dense_box_map(nx, ny, nz);
  Rng rng(13);
  const std::int64_t in = 9, out = 18;
  Guarded x(map.in_rows, in), y(map.out_rows, out);
  x.integers(rng);
  std::vector<float> w(static_cast<std::size_t>(27 * in * out));
  for (float& v : w) v = static_cast<float>(rng.integer(-4, 4));
  forward(x.view(), w, &map, {}, y.view());
  const auto at = [&](int ix, int iy, int iz, std::int64_t c) {  // zero padding
    const bool inside = ix >= 0 && iy >= 0 && iz >= 0 && ix < nx && iy < ny && iz < nz;
    return inside ? x.view()((ix * ny + iy) * nz + iz, c) : 0.0f;
  };
  for (std::int64_t o = 0; o < map.out_rows; ++o) {
    const int ox = static_cast<int>(o) / (ny * nz), oy = static_cast<int>(o) / nz % ny, oz = static_cast<int>(o) % nz;
    for (std::int64_t j = 0; j < out; ++j) {
      float sum = 0.0f;  // integers: exact in any order
      for (int k = 0; k < 27; ++k) {
        for (std::int64_t c = 0; c < in; ++c) {
          sum += at(ox + k / 9 - 1, oy + k / 3 % 3 - 1, oz + k % 3 - 1, c) *
                 w[static_cast<std::size_t>((k * in + c) * out + j)];
        }
      }
      ASSERT_EQ(y.view()(o, j), sum) << "row " << o << ", column " << j;
    }
  }
}

TEST_P(ConvForward, empty_sets_lone_sites_and_rows_without_pairs) {
  Rng rng(14);
  const std::int64_t in = 5, out = 19;
  const auto bias = random_vector(rng, out);
  ConvEpilogue epilogue;
  epilogue.bias = bias.data();
  // no output rows; no input rows; no pairs; one site
  for (const auto& [in_rows, out_rows] : {std::pair{0, 0}, {5, 0}, {0, 300}, {1, 1}}) {
    const KernelMap map =
        oracle::make_map(in_rows == 1 ? std::vector<oracle::ConvPair>{{0, 0, 13}} : std::vector<oracle::ConvPair>{},
                         in_rows, out_rows, 27);
    Guarded x(in_rows, in), y(out_rows, out);
    x.normal(rng);
    const auto w = random_vector(rng, 27 * in * out);
    forward(x.view(), w, &map, epilogue, y.view());
    expect_close(y.view(), oracle::conv(x.view(), w, &map, out, bias.data(), {}), in + 1);
    EXPECT_TRUE(y.intact());
  }
  // one offset that all rows have: the same bits as the linear layer
  Guarded x(600, in), y(600, out), z(600, out);
  x.normal(rng);
  std::vector<oracle::ConvPair> pairs;
  for (std::int32_t r = 0; r < 600; ++r) pairs.push_back({r, r, 1});
  const KernelMap full = oracle::make_map(pairs, 600, 600, 3);
  const auto w = random_vector(rng, 3 * in * out);
  forward(x.view(), w, &full, {}, y.view());
  forward(x.view(), std::vector<float>(w.begin() + in * out, w.begin() + 2 * in * out), nullptr, {}, z.view());
  EXPECT_TRUE(same_bits(y.view(), z.view()));
}

TEST_P(ConvForward, not_a_number_and_infinity_reach_exactly_the_rows_that_read_them) {
  Rng rng(15);
  const KernelMap map = oracle::random_map(rng, 60, 300, 4, 0.9);
  const std::int64_t in = 6, out = 21;
  for (const float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Guarded x(60, in), y(300, out);
    x.fill([&](auto r, auto c) { return r == 7 && c == 2 ? poison : 1.0 + 0.01 * static_cast<double>(r); });
    const std::vector<float> w(static_cast<std::size_t>(4 * in * out), 0.5f);
    std::vector<bool> reads(300, false);
    for (const auto& p : oracle::pairs_of(map)) {
      if (p.in == 7) reads[static_cast<std::size_t>(p.out)] = true;
    }
    for (const auto activation : {Activation::none, Activation::relu, Activation::leaky_relu}) {
      ConvEpilogue epilogue;
      epilogue.activation = activation;
      forward(x.view(), w, &map, epilogue, y.view());
      for (std::int64_t r = 0; r < 300; ++r) {
        for (std::int64_t c = 0; c < out; ++c) {
          ASSERT_EQ(std::isnan(y.view()(r, c)), std::isnan(poison) && reads[static_cast<std::size_t>(r)]);
          ASSERT_EQ(std::isfinite(y.view()(r, c)), !reads[static_cast<std::size_t>(r)]);
        }
      }
    }
  }
}

TEST_P(ConvForward, same_bits_for_any_number_of_threads_and_any_position_of_a_row) {
  Rng rng(16);
  const auto pool = make_thread_pool(4);
  for (const std::int64_t out : {20, 64}) {
    const KernelMap map = oracle::random_map(rng, 13000, 12000, 5, 0.5);
    Guarded x(13000, 33), one(12000, out), four(12000, out);
    x.normal(rng);
    const auto w = random_vector(rng, map.volume * 33 * out);
    forward(x.view(), w, &map, {}, one.view());
    forward(x.view(), w, &map, {}, four.view(), *pool);
    EXPECT_TRUE(same_bits(one.view(), four.view()));
    // Without its first 1001 rows every tile and block changes; the bits of a row do not.
    auto pairs = oracle::pairs_of(map);
    pairs.erase(std::remove_if(pairs.begin(), pairs.end(), [](const auto& p) { return p.out < 1001; }), pairs.end());
    for (auto& p : pairs) p.out -= 1001;
    const KernelMap rest = oracle::make_map(pairs, 13000, 12000 - 1001, 5);
    Guarded y(rest.out_rows, out);
    forward(x.view(), w, &rest, {}, y.view());
    Matrix<const float> tail = one.view();
    tail.data += 1001 * tail.row_stride;
    tail.rows -= 1001;
    EXPECT_TRUE(same_bits(y.view(), tail));
  }
}

TEST_P(ConvForward, the_forced_variant_is_the_one_that_runs) {
  // a * a = 1 + 2^-11 + 2^-24 with a = 1 + 2^-12: a fused multiply-add keeps the last term, a rounded product loses it.
  const float a = 1.0f + 0x1p-12f;
  Guarded x(1, 2), y(1, 1);
  x.fill([&](auto, auto c) { return c == 0 ? -1.0f : a; });
  forward(x.view(), {1.0f + 0x1p-11f, a}, nullptr, {}, y.view());
#if defined(__x86_64__)
  const bool fused = GetParam() != "portable";
  EXPECT_EQ(y.view()(0, 0), fused ? 0x1p-24f : 0.0f);
#endif
  PackedWeights packed;
  pack_weights(variant(), &a, 1, 1, 1, WeightOrder::forward, packed);
  EXPECT_EQ(packed.variant, &variant());
}

INSTANTIATE_TEST_SUITE_P(All, ConvForward, testing::ValuesIn(variant_names()), [](const auto& i) { return i.param; });

}  // namespace
}  // namespace rarefy::test
