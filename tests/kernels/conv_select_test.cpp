// Which variant is chosen, and every error of the convolution contract.
#include "conv_fixture.h"
#include "wish.h"

namespace rarefy::test {
namespace {

template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

TEST(ConvSelect, takes_the_best_that_this_cpu_runs) {
  const Wish none("");
  const ConvVariant& v = select_conv_variant();
  EXPECT_TRUE(runs_here(v));
  EXPECT_TRUE(v.proven);
  EXPECT_EQ(v.needs, cpu::best_isa());
}

TEST(ConvSelect, obeys_the_environment) {
  for (const ConvVariant& v : conv_variants()) {
    const Wish wish(std::string(name(v)).c_str());
    if (runs_here(v)) {
      EXPECT_EQ(&select_conv_variant(), &v);
    } else {
      const auto text = message_of<UnsupportedError>([] { select_conv_variant(); });
      EXPECT_NE(text.find(name(v)), std::string::npos) << text;
    }
  }
}

TEST(ConvSelect, an_unknown_wish_is_an_error_that_names_the_choices) {
  const Wish wish("avx1024");
  const auto text = message_of<UsageError>([] { select_conv_variant(); });
  for (const char* part : {"avx1024", "portable", "avx2", "avx512"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(ConvSelect, a_portable_variant_exists_everywhere) {
  EXPECT_EQ(name(conv_variants().back()), "portable");
  EXPECT_TRUE(runs_here(conv_variants().back()));
}

class ConvErrors : public testing::Test {
 protected:
  ConvErrors() {
    pack_weights(conv_variants().back(), std::vector<float>(2 * 3 * 4).data(), 2, 3, 4, WeightOrder::forward, packed_);
    map_ = oracle::make_map({{0, 0, 0}}, 5, 6, 2);
  }
  std::string forward_error(Matrix<const float> x, const KernelMap* map, Matrix<float> y, ConvEpilogue e = {}) {
    return message_of<ShapeError>([&] { conv_forward(x, packed_, map, e, serial_executor(), y); });
  }
  void expect_in(const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  PackedWeights packed_;
  KernelMap map_;
  Guarded x_{5, 3}, y_{6, 4};
};

TEST_F(ConvErrors, forward) {
  Guarded wide(5, 7), tall(9, 3), narrow(6, 2), high(8, 4);
  expect_in(forward_error(wide.view(), &map_, y_.view()), {"3 input channels", "7"});
  expect_in(forward_error(x_.view(), &map_, narrow.view()), {"4 output channels", "2"});
  expect_in(forward_error(tall.view(), &map_, y_.view()), {"from 5 rows to 6", "9"});
  expect_in(forward_error(x_.view(), &map_, high.view()), {"from 5 rows to 6", "8"});
  expect_in(forward_error(x_.view(), nullptr, y_.view()), {"without a kernel map", "2"});
  const KernelMap other = oracle::make_map({}, 5, 6, 27);
  expect_in(forward_error(x_.view(), &other, y_.view()), {"2 offsets", "27"});
  ConvEpilogue epilogue;
  epilogue.residual = high.view();
  expect_in(forward_error(x_.view(), &map_, y_.view(), epilogue), {"residual is [8, 4]", "[6, 4]"});
  Matrix<float> overlapping = y_.view();
  overlapping.row_stride = 2;
  expect_in(forward_error(x_.view(), &map_, overlapping), {"stride", "2"});
  EXPECT_TRUE(y_.intact());
  const PackedWeights never;
  expect_in(message_of<UsageError>([&] { conv_forward(x_.view(), never, &map_, {}, serial_executor(), y_.view()); }),
            {"pack_weights"});
}

TEST_F(ConvErrors, linear_layer_keeps_rows) {
  pack_weights(conv_variants().back(), std::vector<float>(12).data(), 1, 3, 4, WeightOrder::forward, packed_);
  expect_in(forward_error(x_.view(), nullptr, y_.view()), {"input has 5", "output 6"});
}

TEST_F(ConvErrors, packing_nothing) {
  const auto text = message_of<ShapeError>(
      [&] { pack_weights(conv_variants().back(), nullptr, 1, 0, 4, WeightOrder::forward, packed_); });
  expect_in(text, {"[1, 0, 4]"});
}

TEST_F(ConvErrors, weight_gradient) {
  AlignedBuffer scratch;
  std::vector<float> gw(24);
  const auto error = [&](Matrix<const float> x, Matrix<const float> gy, const KernelMap* map, std::int64_t volume) {
    return message_of<ShapeError>([&] {
      conv_weight_gradient(conv_variants().back(), x, gy, map, volume, serial_executor(), scratch, gw.data());
    });
  };
  Guarded tall(9, 3);
  expect_in(error(x_.view(), y_.view(), &map_, 3), {"3 offsets", "2"});
  expect_in(error(tall.view(), y_.view(), &map_, 2), {"from 5 rows to 6", "9"});
  expect_in(error(x_.view(), y_.view(), nullptr, 1), {"input has 5", "gradient 6"});
  expect_in(error(x_.view(), x_.view(), nullptr, 2), {"one offset", "2"});
}

}  // namespace
}  // namespace rarefy::test
