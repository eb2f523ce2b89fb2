// Convolutions in 16 bits: every half must be widened as the format says, every sum rounded to the half nearest to it.
#include <algorithm>
#include <cmath>

#include "kernels/conv_half.h"
#include "self_check/reference.h"

namespace rarefy::self_check {
namespace {

constexpr std::int64_t kChannels[] = {1, 3, 8, 17, 32, 64};

/// The number that a half stands for, by the definition of the format.
double meaning(Half half) {
  const int exponent = (half.bits >> 10) & 31, fraction = half.bits & 1023;
  const double sign = (half.bits >> 15) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return fraction == 0 ? sign * HUGE_VAL : NAN;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

/// The number that `value` is rounded to: multiples of the step of its binade, ties to even.
double rounded(double value) {
  if (value == 0.0) return 0.0;
  int exponent = 0;
  (void)std::frexp(value, &exponent);
  const double step = std::ldexp(1.0, std::max(exponent - 11, -24));
  const double result = std::nearbyint(value / step) * step;
  return std::abs(result) > 65504.0 ? std::copysign(HUGE_VAL, value) : result;
}

/// The half that stands for a small integer.
Half half_of(std::int64_t value) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits)
    if (meaning({static_cast<std::uint16_t>(bits)}) == static_cast<double>(value))
      return {static_cast<std::uint16_t>(bits)};
  return {};
}

/// Linear layers of one weight: all halves times 1, which must stay what they are, and, as real numbers, must be what
/// the format says; times 3, which must be rounded.
void check_conversions(const HalfVariant& variant, Check& check) {
  std::vector<Half> x(65536), y(65536);
  std::vector<float> real(65536);
  for (std::uint32_t bits = 0; bits < 65536; ++bits) x[bits].bits = static_cast<std::uint16_t>(bits);
  AlignedBuffer scratch;
  for (const float weight : {1.0f, 3.0f}) {
    HalfWeights packed;
    pack_half_weights(variant, &weight, 1, 1, 1, {}, packed);
    const Matrix<const Half> rows{x.data(), 65536, 1, 1};
    conv_half(rows, packed, nullptr, {}, serial_executor(), scratch, Matrix<Half>{y.data(), 65536, 1, 1});
    conv_half(rows, packed, nullptr, {}, serial_executor(), scratch, Matrix<float>{real.data(), 65536, 1, 1});
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double wanted = static_cast<double>(weight) * meaning(x[i]);
      const bool nan = std::isnan(wanted);
      wrong += (nan ? std::isnan(real[i]) : real[i] == wanted) ? 0 : 1;
      wrong += (nan ? std::isnan(meaning(y[i])) : meaning(y[i]) == rounded(wanted)) ? 0 : 1;
    }
    check.add(static_cast<double>(wrong) / 131072.0, "all halves times " + std::to_string(static_cast<int>(weight)));
  }
}

/// One convolution of small integers over a submanifold map, rows and residual in 16 bits.
double wrong_sums(const HalfVariant& variant, const KernelMap& map, const std::vector<Pair>& pairs, std::int64_t rows,
                  std::int64_t in, std::int64_t out, Rng& rng) {
  std::vector<float> x = integer_values(rng, rows * in), residual = integer_values(rng, rows * out);
  const std::vector<float> weights = integer_values(rng, 27 * in * out), bias = integer_values(rng, out);
  static const std::vector<Half> small = [] {
    std::vector<Half> halves;
    for (std::int64_t v = -16; v <= 16; ++v) halves.push_back(half_of(v));
    return halves;
  }();
  const auto in_halves = [](const std::vector<float>& values) {
    std::vector<Half> halves;
    for (const float v : values) halves.push_back(small.at(static_cast<std::size_t>(static_cast<int>(v) + 16)));
    return halves;
  };
  const std::vector<Half> x_half = in_halves(x), residual_half = in_halves(residual);
  std::vector<Half> y(static_cast<std::size_t>(rows * out));
  HalfWeights packed;
  pack_half_weights(variant, weights.data(), 27, in, out, {}, packed);
  AlignedBuffer scratch;
  conv_half(Matrix<const Half>{x_half.data(), rows, in, in}, packed, &map,
            {.bias = bias.data(), .residual = Matrix<const Half>{residual_half.data(), rows, out, out}},
            serial_executor(), scratch, Matrix<Half>{y.data(), rows, out, out});
  const Values sums = convolve({x.data(), rows, in, in}, weights, pairs, rows, out);
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double exact = sums.value[i] + residual[i] + bias[i % static_cast<std::size_t>(out)];
    wrong += meaning(y[i]) == rounded(exact) ? 0 : 1;
  }
  return static_cast<double>(wrong) / static_cast<double>(y.size());
}

Report check_variant(const HalfVariant& variant) {
  Report report{.family = "16 bits", .variant = std::string(variant.name), .ran = false, .why_not = {}, .checks = {}};
  if (!runs_here(variant)) {
    report.why_not = not_available(variant.needs);
    return report;
  }
  report.ran = true;
  Rng rng(29);
  const std::vector<Site> sites = make_sites(rng);
  const KernelShape kernel;
  const Coords coords = coords_of(sites);
  KernelMap map;
  build_kernel_map(coords, coords, kernel, serial_executor(), map);
  const std::vector<Pair> pairs = find_pairs(sites, sites, kernel);
  Check conversions{.name = "conversions"}, sums{.name = "rounded sums"};
  check_conversions(variant, conversions);
  for (const std::int64_t in : kChannels)
    for (const std::int64_t out : kChannels)
      sums.add(wrong_sums(variant, map, pairs, static_cast<std::int64_t>(sites.size()), in, out, rng),
               std::to_string(in) + " to " + std::to_string(out) + " channels");
  report.checks = {conversions, sums};
  return report;
}

}  // namespace

std::vector<Report> check_halves(std::span<const HalfVariant> variants) {
  std::vector<Report> reports;
  for (const HalfVariant& variant : variants) reports.push_back(check_variant(variant));
  return reports;
}

}  // namespace rarefy::self_check
