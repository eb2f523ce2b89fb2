// 8-bit convolutions: every sum must be exact, every stored byte the one that plain arithmetic gives.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/conv_int8.h"
#include "self_check/reference.h"

namespace rarefy::self_check {
namespace {

constexpr std::int64_t kChannels[] = {1, 3, 8, 17, 32, 64};

/// One convolution of random integers over a submanifold map, extreme values among them.
struct Case {
  std::int64_t rows, in, out, stride;
  std::vector<std::uint8_t> x;
  std::vector<std::int8_t> weights;
  std::vector<float> scale, bias;
  Quantization x_is, to;

  Case(std::int64_t rows_, std::int64_t in_, std::int64_t out_, int bits, bool has_sign, Rng& rng)
      : rows(rows_),
        in(in_),
        out(out_),
        stride((in_ + 3) / 4 * 4),
        x(static_cast<std::size_t>(rows_ * stride)),
        weights(static_cast<std::size_t>(27 * in_ * out_)),
        x_is{.scale = 1.0f, .bits = bits, .has_sign = has_sign},
        to{.scale = 0.25f} {
    for (auto& v : x)
      v = static_cast<std::uint8_t>(rng.chance(0.2) ? x_is.high() : rng.integer(x_is.low(), x_is.high()));
    const std::int64_t most = (1 << (bits - 1)) - 1;
    for (auto& w : weights)
      w = static_cast<std::int8_t>(rng.chance(0.2) ? (rng.chance(0.5) ? most : -most) : rng.integer(-most, most));
    for (std::int64_t j = 0; j < out; ++j) {
      scale.push_back(static_cast<float>(std::ldexp(1.0, -10)));
      bias.push_back(static_cast<float>(rng.integer(-8, 8)));
    }
  }

  /// Exact: the scale is a power of two.
  std::vector<double> expected(const std::vector<Pair>& pairs) const {
    std::vector<double> y(static_cast<std::size_t>(rows * out), 0.0);
    for (const Pair& p : pairs)
      for (std::int64_t i = 0; i < in; ++i)
        for (std::int64_t j = 0; j < out; ++j)
          y[static_cast<std::size_t>(p.out * out + j)] +=
              (x[static_cast<std::size_t>(p.in * stride + i)] - x_is.zero()) *
              weights[static_cast<std::size_t>((p.k * in + i) * out + j)];
    for (std::size_t i = 0; i < y.size(); ++i)
      y[i] = static_cast<float>(y[i]) * double{scale[0]} + double{bias[i % bias.size()]};
    return y;
  }
};

void check_case(const Int8Variant& variant, const Case& c, const KernelMap& map, const std::vector<Pair>& pairs,
                Check& real, Check& bytes, const std::string& text) {
  Int8Weights packed;
  pack_int8_weights(variant, c.weights.data(), 27, c.in, c.out, c.x_is.zero(), packed);
  const Int8Epilogue epilogue{.scale = c.scale.data(), .bias = c.bias.data()};
  AlignedBuffer scratch;
  std::vector<float> y(static_cast<std::size_t>(c.rows * c.out));
  std::vector<std::uint8_t> stored(y.size());
  const Matrix<const std::uint8_t> x{c.x.data(), c.rows, c.in, c.stride};
  conv_int8(x, packed, &map, epilogue, serial_executor(), scratch, {y.data(), c.rows, c.out, c.out});
  conv_int8(x, packed, &map, epilogue, c.to, serial_executor(), scratch, {stored.data(), c.rows, c.out, c.out});
  std::int64_t wrong = 0, wrong_bytes = 0;
  const std::vector<double> expected = c.expected(pairs);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto value = static_cast<float>(expected[i]);
    wrong += y[i] != value ? 1 : 0;
    const double step = std::clamp(std::nearbyint(static_cast<double>(value) * 4.0), 0.0, 255.0);
    wrong_bytes += stored[i] != static_cast<std::uint8_t>(step) ? 1 : 0;
  }
  const auto share = [&](std::int64_t count) { return static_cast<double>(count) / static_cast<double>(y.size()); };
  real.add(share(wrong), text);
  bytes.add(share(wrong_bytes), text);
}

Report check_variant(const Int8Variant& variant) {
  Report report{.family = "8 bits", .variant = std::string(variant.name), .ran = false, .why_not = {}, .checks = {}};
  if (!runs_here(variant)) {
    report.why_not =
        variant.needs_vnni && cpu::has(variant.needs) ? "this CPU has no VNNI" : not_available(variant.needs);
    return report;
  }
  report.ran = true;
  Rng rng(23);
  const std::vector<Site> sites = make_sites(rng);
  const KernelShape kernel;
  const Coords coords = coords_of(sites);
  KernelMap map;
  build_kernel_map(coords, coords, kernel, serial_executor(), map);
  const std::vector<Pair> pairs = find_pairs(sites, sites, kernel);
  Check real{.name = "exact sums"}, bytes{.name = "stored bytes"};
  for (const std::int64_t in : kChannels)
    for (const std::int64_t out : kChannels)
      for (const bool has_sign : {false, true}) {
        const Case c(static_cast<std::int64_t>(sites.size()), in, out, variant.most_bits, has_sign, rng);
        check_case(variant, c, map, pairs, real, bytes,
                   std::to_string(in) + " to " + std::to_string(out) + " channels" + (has_sign ? ", signed" : ""));
      }
  report.checks = {real, bytes};
  return report;
}

}  // namespace

std::vector<Report> check_integers(std::span<const Int8Variant> variants) {
  std::vector<Report> reports;
  for (const Int8Variant& variant : variants) reports.push_back(check_variant(variant));
  return reports;
}

}  // namespace rarefy::self_check
