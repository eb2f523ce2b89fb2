// Convolutions on the GPU against sums in double: every arithmetic by every flow.
#include "kernels/cuda/conv.h"

#include <gtest/gtest.h>

#include "conv_fixture.h"
#include "kernels/cuda/conv/tune.h"
#include "support/expect_error.h"

namespace rarefy::test {
namespace {

enum class Values : std::uint8_t { normal, integers };
enum class Shape : std::uint8_t {
  any,
  eights
};  ///< eights: input channels and rows that every kernel of 16 bits takes

/// The terms that a case may have, so that sums on the host stay fast.
std::int64_t budget() { return quick_or(400'000, 4'000'000); }

std::int64_t any_channels(Rng& rng) {
  constexpr std::array<std::int64_t, 12> kUsual{1, 3, 4, 5, 8, 16, 20, 32, 48, 61, 64, 96};
  return rng.chance(0.75) ? kUsual[static_cast<std::size_t>(rng.integer(0, 11))] : rng.integer(1, quick_or(100, 300));
}
Layout any_layout(Rng& rng) { return rng.chance(0.6) ? Layout::aligned : Layout::any; }

struct Case {
  Arithmetic arithmetic;
  bool linear, sorted;
  std::int64_t in, out;
  TestMap map;
  std::unique_ptr<TestRows> x, residual;
  std::vector<float> weights, bias;
  DeviceBuffer device_weights, device_bias;
  cuda::DeviceEpilogue epilogue;
  cuda::DeviceWeights packed;

  Case(Rng& rng, Arithmetic a, Values kind, Shape shape = Shape::any)
      : arithmetic(a),
        linear(rng.chance(0.2)),
        sorted(rng.chance(0.6)),
        in(shape == Shape::any ? any_channels(rng) : 8 * rng.integer(1, 20)),
        out(any_channels(rng)) {
    constexpr std::array<int, 5> kVolumes{1, 8, 27, 27, 125};
    const int volume = linear ? 1 : kVolumes[static_cast<std::size_t>(rng.integer(0, 4))];
    const double density = linear ? 1.0 : rng.uniform(0.02, 0.5);
    const auto most =
        static_cast<std::int64_t>(static_cast<double>(budget()) / (density * static_cast<double>(volume * in * out)));
    const std::int64_t rows = rng.integer(0, std::clamp<std::int64_t>(most, 40, quick_or(500, 3000)));
    const std::int64_t in_rows = linear ? rows : std::max<std::int64_t>(0, rows + rng.integer(-rows / 2, rows / 2));
    if (linear)
      map.in_rows = map.out_rows = rows;
    else
      map = random_test_map(rng, in_rows, rows, volume, density);
    const auto value = [&] {
      return kind == Values::integers ? static_cast<float>(rng.integer(-3, 3))
                                      : nearest(arithmetic, static_cast<float>(rng.normal()));
    };
    x = std::make_unique<TestRows>(rng, arithmetic, in_rows, in,
                                   shape == Shape::any ? any_layout(rng) : Layout::aligned);
    x->fill(value);
    for (std::int64_t i = 0; i < volume * in * out; ++i) weights.push_back(value());
    for (std::int64_t j = 0; j < out; ++j) bias.push_back(value());
    device_weights = on_device(weights);
    device_bias = on_device(bias);
    if (rng.chance(0.6)) epilogue.bias = device_bias.as<float>();
    if (rng.chance(0.5)) {
      residual = std::make_unique<TestRows>(rng, arithmetic, rows, out, any_layout(rng));
      residual->fill(value);
      epilogue.residual = residual->view();
    }
    epilogue.activation = static_cast<Activation>(rng.integer(0, 2));
    epilogue.slope = 0.125f;
    cuda::pack_weights(device_weights.as<float>(), volume, in, out, WeightOrder::forward, arithmetic, nullptr, packed);
  }

  std::int64_t rows() const { return map.out_rows; }
  Sum sum(std::int64_t row, std::int64_t j) const {
    Sum s;
    for (int k = 0; k < map.volume; ++k) {
      const std::int64_t from = linear ? row : map.at(k, row);
      if (from < 0) continue;
      const float* w = weights.data() + k * in * out + j;
      for (std::int64_t i = 0; i < in; ++i) s.add(static_cast<double>((*x)(from, i)) * w[i * out]);
    }
    if (epilogue.bias != nullptr) s.add(bias[static_cast<std::size_t>(j)]);
    if (residual) s.add((*residual)(row, j));
    return s;
  }
  double ended(double v) const {
    if (v < 0 && epilogue.activation == Activation::relu) return 0;
    return v < 0 && epilogue.activation == Activation::leaky_relu ? 0.125 * v : v;
  }
  std::int64_t terms() const { return map.volume * in + 2; }
  cuda::MapView view() const { return sorted ? map.sorted() : map.plain(); }
  Flow run(Flow flow, DeviceBuffer& workspace, const TestRows& y) const {
    const cuda::MapView v = view();
    return cuda::conv(x->view(), packed, linear ? nullptr : &v, epilogue, flow, nullptr, workspace, y.view());
  }
  void run_tile(int tile, int slices, DeviceBuffer& workspace, const TestRows& y) const {
    const cuda::MapView v = view();
    cuda::conv_implicit(x->view(), packed, linear ? nullptr : &v, epilogue, nullptr, workspace, y.view(), tile, slices);
  }
  std::string text() const {
    return std::string(cuda::name(arithmetic)) + ", " + std::to_string(in) + " to " + std::to_string(out) +
           " channels, " + std::to_string(map.volume) + " offsets, " + std::to_string(rows()) + " rows" +
           (linear   ? ", linear"
            : sorted ? ", sorted in " + std::to_string(map.splits)
                     : ", plain");
  }
  void expect_sums(const TestRows& y, Values kind) const {
    for (std::int64_t r = 0; r < rows(); ++r) {
      for (std::int64_t j = 0; j < out; ++j) {
        const Sum s = sum(r, j);
        const double wanted = ended(s.value);
        double bound = kind == Values::integers ? 0.0 : 0x1p-22 * static_cast<double>(terms()) * s.magnitude;
        bound += (std::abs(wanted) + bound) * unit(arithmetic) + (kind == Values::integers ? 0.0 : 0x1p-24);
        ASSERT_NEAR(y(r, j), wanted, bound) << "row " << r << ", column " << j << " of " << text();
      }
    }
  }
};

/// Memory that a kernel reads before it writes shows as NaN.
void poison(DeviceBuffer& workspace) { cuda::fill_bytes(workspace.data(), 0xFF, workspace.capacity(), nullptr); }

using Way = std::tuple<Arithmetic, Flow>;
class CudaConv : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (cuda::devices().empty()) GTEST_SKIP() << "there is no GPU";
  }
  Arithmetic arithmetic() const { return std::get<0>(GetParam()); }
  Flow flow() const { return std::get<1>(GetParam()); }
  void compare(Rng& rng, Values kind) const {
    const Case c(rng, arithmetic(), kind);
    TestRows first(rng, arithmetic(), c.rows(), c.out, any_layout(rng)), second = make_like(rng, first);
    DeviceBuffer workspace;
    const Flow ran = c.run(flow(), workspace, first);
    if (!c.linear && arithmetic() != Arithmetic::f32) {
      EXPECT_EQ(ran, flow());
    }
    ASSERT_TRUE(first.fetch()) << "wrote beside the output: " << c.text();
    c.expect_sums(first, kind);
    poison(workspace);
    c.run(flow(), workspace, second);
    ASSERT_TRUE(second.fetch());
    for (std::int64_t r = 0; r < c.rows(); ++r)
      ASSERT_EQ(std::memcmp(first.row(r), second.row(r), static_cast<std::size_t>(c.out) * 4), 0) << c.text();
  }
  static TestRows make_like(Rng& rng, const TestRows& m) {
    return {rng, std::get<0>(GetParam()), m.rows(), m.cols(), Layout::any};
  }
};

TEST_P(CudaConv, matches_sums_in_double_and_repeats_its_bits) {
  for_random_cases(24, [&](Rng& rng) { compare(rng, Values::normal); });
}
TEST_P(CudaConv, sums_of_integers_are_exact) {
  for_random_cases(24, [&](Rng& rng) { compare(rng, Values::integers); });
}

std::string way_name(const testing::TestParamInfo<Way>& info) {
  return std::string(cuda::name(std::get<0>(info.param))) + "_" + std::string(cuda::name(std::get<1>(info.param)));
}
INSTANTIATE_TEST_SUITE_P(Ways, CudaConv,
                         testing::Combine(testing::ValuesIn(kArithmetics),
                                          testing::ValuesIn(cuda::flows().begin(), cuda::flows().end())),
                         way_name);

class CudaConvArithmetic : public testing::TestWithParam<Arithmetic> {
 protected:
  void SetUp() override {
    if (cuda::devices().empty()) GTEST_SKIP() << "there is no GPU";
  }
};

TEST_P(CudaConvArithmetic, every_tile_and_slice_gives_the_sums) {
  for_random_cases(12, [&](Rng& rng) {
    const Case c(rng, GetParam(), Values::integers, rng.chance(0.6) ? Shape::eights : Shape::any);
    DeviceBuffer workspace;
    for (int tile = -1; tile < cuda::tile_choices(); ++tile) {
      for (const int slices : {1, 3}) {
        TestRows y(rng, GetParam(), c.rows(), c.out, any_layout(rng));
        poison(workspace);
        c.run_tile(tile, slices, workspace, y);
        ASSERT_TRUE(y.fetch());
        c.expect_sums(y, Values::integers);
        if (testing::Test::HasFailure()) FAIL() << "tile " << tile << " in " << slices << " slices";
      }
    }
  });
}

TEST_P(CudaConvArithmetic, adds_to_its_own_residual) {
  for_random_cases(6, [&](Rng& rng) {
    Case c(rng, GetParam(), Values::integers);
    c.residual = std::make_unique<TestRows>(rng, GetParam(), c.rows(), c.out, any_layout(rng));
    c.residual->fill([&] { return static_cast<float>(rng.integer(-3, 3)); });
    TestRows y(rng, GetParam(), c.rows(), c.out, any_layout(rng));
    std::int64_t i = 0;
    y.fill([&] {
      const std::int64_t at = i++;
      return (*c.residual)(at / c.out, at % c.out);
    });
    c.epilogue.residual = y.view();
    DeviceBuffer workspace;
    c.run(Flow::automatic, workspace, y);
    ASSERT_TRUE(y.fetch());
    c.expect_sums(y, Values::integers);
  });
}

TEST_P(CudaConvArithmetic, gradient_of_the_input_is_adjoint) {
  for_random_cases(8, [&](Rng& rng) {
    Case c(rng, GetParam(), Values::integers);
    if (c.linear || c.in * c.map.volume > 2000 || c.out * c.map.volume > 2000) return;
    c.epilogue = {};
    c.residual = nullptr;
    // Sums are small integers, which bfloat16 rounds; so the products are compared in the sums' own rows.
    TestRows g(rng, GetParam(), c.rows(), c.out, any_layout(rng));
    g.fill([&] { return rng.chance(0.1) ? static_cast<float>(rng.integer(-1, 1)) : 0.0f; });
    TestMap back = c.map.transposed();
    back.upload(c.map.splits);
    cuda::DeviceWeights transposed;
    cuda::pack_weights(c.device_weights.as<float>(), c.map.volume, c.in, c.out, WeightOrder::transposed, GetParam(),
                       nullptr, transposed);
    TestRows gx(rng, GetParam(), c.map.in_rows, c.in, any_layout(rng));
    DeviceBuffer workspace;
    const cuda::MapView v = rng.chance(0.5) ? back.plain() : back.sorted();
    cuda::conv(g.view(), transposed, &v, {}, Flow::automatic, nullptr, workspace, gx.view());
    ASSERT_TRUE(gx.fetch());
    double left = 0, right = 0, scale = 1;
    for (std::int64_t r = 0; r < c.rows(); ++r)
      for (std::int64_t j = 0; j < c.out; ++j)
        if (g(r, j) != 0) left += g(r, j) * c.sum(r, j).value;
    for (std::int64_t r = 0; r < c.map.in_rows; ++r) {
      for (std::int64_t i = 0; i < c.in; ++i) {
        right += static_cast<double>((*c.x)(r, i)) * gx(r, i);
        scale += std::abs(static_cast<double>((*c.x)(r, i)) * gx(r, i));
      }
    }
    EXPECT_NEAR(left, right, scale * unit(GetParam())) << c.text();
  });
}

TEST_P(CudaConvArithmetic, weights_are_packed_in_every_order) {
  const Arithmetic a = GetParam();
  for_random_cases(12, [&](Rng& rng) {
    const std::int64_t volume = rng.integer(1, 9), in = rng.integer(1, 40), out = rng.integer(1, 40);
    std::vector<float> weights;
    for (std::int64_t i = 0; i < volume * in * out; ++i)
      weights.push_back(nearest(a, static_cast<float>(rng.normal())));
    const DeviceBuffer device = on_device(weights);
    for (const WeightOrder order : {WeightOrder::forward, WeightOrder::transposed, WeightOrder::transposed_flipped}) {
      cuda::DeviceWeights packed;
      cuda::pack_weights(device.as<float>(), volume, in, out, order, a, nullptr, packed);
      const bool transposed = order != WeightOrder::forward;
      EXPECT_EQ(packed.in_channels, transposed ? out : in);
      EXPECT_EQ(packed.out_channels, transposed ? in : out);
      const std::int64_t rows = (packed.in_channels + 15) / 16 * 16, cols = (packed.out_channels + 15) / 16 * 16;
      std::vector<unsigned char> bytes(static_cast<std::size_t>(volume * rows * cols * cuda::size_of(a)));
      cuda::copy_to_host(bytes.data(), packed.data.data(), static_cast<std::int64_t>(bytes.size()), nullptr);
      cuda::synchronize(nullptr);
      for (std::int64_t e = 0; e < volume * rows * cols; ++e) {
        const std::int64_t k = e / (rows * cols), r = e / cols % rows, j = e % cols;
        float wanted = 0;
        if (r < packed.in_channels && j < packed.out_channels) {
          const std::int64_t from = order == WeightOrder::transposed_flipped ? volume - 1 - k : k;
          wanted =
              weights[static_cast<std::size_t>(transposed ? (from * in + j) * out + r : (from * in + r) * out + j)];
        }
        std::uint32_t bits = 0;
        std::memcpy(&bits, bytes.data() + e * cuda::size_of(a), static_cast<std::size_t>(cuda::size_of(a)));
        const float found = a == Arithmetic::f16    ? widen(Half{static_cast<std::uint16_t>(bits)})
                            : a == Arithmetic::bf16 ? std::bit_cast<float>(bits << 16)
                                                    : std::bit_cast<float>(bits);
        ASSERT_EQ(found, wanted) << "element " << e;
      }
    }
  });
}

TEST_P(CudaConvArithmetic, rounds_operands_to_its_bits) {
  const Arithmetic a = GetParam();
  for_random_cases(6, [&](Rng& rng) {
    const std::int64_t rows = 70, in = 24, out = 9;
    TestRows x(rng, a, rows, in, any_layout(rng)), y(rng, a, rows, out, any_layout(rng));
    x.fill([&] { return static_cast<float>(rng.normal()); });
    std::vector<float> weights;
    for (std::int64_t i = 0; i < in * out; ++i) weights.push_back(static_cast<float>(rng.normal()));
    const DeviceBuffer device = on_device(weights);
    cuda::DeviceWeights packed;
    cuda::pack_weights(device.as<float>(), 1, in, out, WeightOrder::forward, a, nullptr, packed);
    DeviceBuffer workspace;
    cuda::conv(x.view(), packed, nullptr, {}, Flow::automatic, nullptr, workspace, y.view());
    ASSERT_TRUE(y.fetch());
    const double operand = a == Arithmetic::tf32 ? 0x1p-11 : unit(a);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t j = 0; j < out; ++j) {
        Sum s;
        for (std::int64_t i = 0; i < in; ++i)
          s.add(static_cast<double>(x(r, i)) * weights[static_cast<std::size_t>(i * out + j)]);
        ASSERT_NEAR(y(r, j), s.value, s.magnitude * (2.1 * operand + 0x1p-17) + std::abs(s.value) * unit(a));
      }
    }
  });
}

std::string arithmetic_name(const testing::TestParamInfo<Arithmetic>& info) {
  return std::string(cuda::name(info.param));
}
INSTANTIATE_TEST_SUITE_P(Arithmetics, CudaConvArithmetic, testing::ValuesIn(kArithmetics), arithmetic_name);

TEST(CudaConvErrors, name_what_does_not_fit) {
  if (cuda::devices().empty()) GTEST_SKIP() << "there is no GPU";
  Rng rng(1);
  TestRows x(rng, Arithmetic::f16, 5, 4, Layout::aligned), y(rng, Arithmetic::f16, 5, 3, Layout::aligned);
  DeviceBuffer workspace;
  cuda::DeviceWeights packed;
  const auto run = [&](cuda::ConstRows from, cuda::Rows to, const cuda::MapView* map, const cuda::DeviceEpilogue& e) {
    cuda::conv(from, packed, map, e, Flow::automatic, nullptr, workspace, to);
  };
  expect_error<UsageError>([&] { run(x.view(), y.view(), nullptr, {}); }, {"never packed"});
  const DeviceBuffer weights = on_device(std::vector<float>(12, 1.0f));
  cuda::pack_weights(weights.as<float>(), 1, 4, 3, WeightOrder::forward, Arithmetic::f16, nullptr, packed);
  cuda::Rows view = x.view();
  view.cols = 3;
  expect_error<ShapeError>([&] { run(view, y.view(), nullptr, {}); }, {"expect 4 input channels", "have 3"});
  view = y.view();
  view.cols = 2;
  expect_error<ShapeError>([&] { run(x.view(), view, nullptr, {}); }, {"make 3 output channels", "has 2"});
  view = y.view();
  view.rows = 4;
  expect_error<ShapeError>([&] { run(x.view(), view, nullptr, {}); }, {"input has 5, output 4"});
  cuda::DeviceEpilogue epilogue;
  epilogue.residual = view;
  expect_error<ShapeError>([&] { run(x.view(), y.view(), nullptr, epilogue); },
                           {"residual is [4, 3], the output [5, 3]"});
  TestMap map = random_test_map(rng, 5, 5, 8, 0.5);
  const cuda::MapView plain = map.plain();
  expect_error<ShapeError>([&] { run(x.view(), y.view(), &plain, {}); }, {"weights have 1 offsets", "map 8"});
  expect_error<UsageError>([&] { cuda::flow_named("stationary"); }, {"'stationary'", "implicit_gemm", "on_demand"});
  for (const Flow flow : cuda::flows()) EXPECT_EQ(cuda::flow_named(cuda::name(flow)), flow);
}

}  // namespace
}  // namespace rarefy::test
