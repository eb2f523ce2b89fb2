// Batch normalisation.
#include "kernels/batch_norm.h"

#include <cmath>
#include <cstdlib>
#include <optional>

#include "self_check/reference.h"

namespace rarefy::self_check {
namespace {

constexpr double kTolerance = 2e-6;
constexpr float kEpsilon = 1e-5f;

struct Normal {
  std::int64_t rows, channels;
  Rows x, g, residual;
  std::vector<float> gamma, beta, mean, variance;

  Normal(std::int64_t rows_, std::int64_t channels_, Rng& rng)
      : rows(rows_), channels(channels_), x(rows_, channels_), g(rows_, channels_), residual(rows_, channels_) {
    x.normal(rng);
    g.normal(rng);
    residual.normal(rng);
    gamma = normal_values(rng, channels);
    beta = normal_values(rng, channels);
    mean = variance = std::vector<float>(static_cast<std::size_t>(channels));
  }

  struct Moments {
    double mean = 0, mean_magnitude = 0, variance = 0;
  };
  Moments moments(std::int64_t c) {
    Moments m;
    const auto n = static_cast<double>(rows);
    for (std::int64_t r = 0; r < rows; ++r) {
      m.mean += x.view()(r, c) / n;
      m.mean_magnitude += std::abs(x.view()(r, c)) / n;
    }
    for (std::int64_t r = 0; r < rows; ++r) m.variance += std::pow(x.view()(r, c) - m.mean, 2) / n;
    return m;
  }
  /// x of row r, normalised by the statistics that the kernels are given.
  double normal(std::int64_t r, std::int64_t c) {
    const auto i = static_cast<std::size_t>(c);
    return (x.view()(r, c) - double{mean[i]}) / std::sqrt(double{variance[i]} + double{kEpsilon});
  }
};

double relative(double actual, double expected, double magnitude) {
  Values one(1);
  one.value[0] = expected;
  one.magnitude[0] = magnitude;
  const auto value = static_cast<float>(actual);
  return relative_error({&value, 1, 1}, one);
}

void check_statistics(Normal& p, Check& check, const std::string& text) {
  batch_norm_statistics(p.x.view(), serial_executor(), p.mean.data(), p.variance.data());
  for (std::int64_t c = 0; c < p.channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const auto s = p.moments(c);
    check.add(relative(p.mean[i], s.mean, s.mean_magnitude), text);
    check.add(relative(p.variance[i], s.variance, s.variance + s.mean_magnitude * 1e-6), text);
  }
}

void check_apply(Normal& p, Activation activation, Check& check, const std::string& text) {
  Values expected(p.rows * p.channels);
  constexpr double kSlope = 0.25;
  for (std::int64_t r = 0; r < p.rows; ++r) {
    for (std::int64_t c = 0; c < p.channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const double scale = p.gamma[i] / std::sqrt(double{p.variance[i]} + double{kEpsilon});
      const std::int64_t at = r * p.channels + c;
      expected.add(at, p.x.view()(r, c) * scale);
      expected.add(at, -p.mean[i] * scale);
      expected.add(at, p.beta[i]);
      expected.add(at, p.residual.view()(r, c));
      double& v = expected.value[static_cast<std::size_t>(at)];
      if (v < 0 && activation != Activation::none) v *= activation == Activation::relu ? 0.0 : kSlope;
    }
  }
  Rows y(p.rows, p.channels);
  batch_norm_apply(p.x.view(), p.mean.data(), p.variance.data(), p.gamma.data(), p.beta.data(), kEpsilon,
                   p.residual.view(), activation, static_cast<float>(kSlope), serial_executor(), y.view());
  check.add(y.intact() ? relative_error(y.view(), expected) : HUGE_VAL, text);
}

/// With a ReLU behind the normalisation, and the gradient before it kept for a residual.
void check_gradient(Normal& p, bool relu, Check& check, const std::string& text) {
  Values expected(p.rows * p.channels);
  const auto n = static_cast<double>(p.rows);
  Rows gx(p.rows, p.channels), passed(p.rows, p.channels), masked(p.rows, p.channels);
  for (std::int64_t r = 0; r < p.rows; ++r) {
    for (std::int64_t c = 0; c < p.channels; ++c)
      masked.view()(r, c) = !relu || p.residual.view()(r, c) > 0 ? p.g.view()(r, c) : 0.0f;
  }
  NormFollowers followers;
  if (relu) followers = {p.residual.view(), passed.view()};  // any values serve as the ReLU's output
  std::vector<float> g_gamma(p.gamma.size()), g_beta(g_gamma);
  batch_norm_gradient(p.x.view(), p.g.view(), followers, p.mean.data(), p.variance.data(), p.gamma.data(), kEpsilon,
                      serial_executor(), gx.view(), g_gamma.data(), g_beta.data());
  for (std::int64_t c = 0; c < p.channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    Values sums(2);  // of g, of g * normal
    for (std::int64_t r = 0; r < p.rows; ++r) {
      sums.add(0, masked.view()(r, c));
      sums.add(1, masked.view()(r, c) * p.normal(r, c));
    }
    check.add(relative(g_beta[i], sums.value[0], sums.magnitude[0]), text);
    check.add(relative(g_gamma[i], sums.value[1], sums.magnitude[1]), text);
    const double scale = p.gamma[i] / std::sqrt(double{p.variance[i]} + double{kEpsilon});
    for (std::int64_t r = 0; r < p.rows; ++r) {
      // Ioffe and Szegedy 2015, section 3: gx = gamma / deviation * (g - mean(g) - normal * mean(g * normal)).
      const std::int64_t at = r * p.channels + c;
      expected.add(at, scale * masked.view()(r, c));
      expected.add(at, -scale * sums.value[0] / n);
      expected.add(at, -scale * p.normal(r, c) * sums.value[1] / n);
      expected.magnitude[static_cast<std::size_t>(at)] +=
          std::abs(scale) * (sums.magnitude[0] + sums.magnitude[1] * std::abs(p.normal(r, c))) / n;
    }
  }
  const bool right = gx.intact() && passed.intact() && (!relu || same_bits(passed.view(), masked.view()));
  check.add(right ? relative_error(gx.view(), expected) : HUGE_VAL, text);
}

/// Lets the library choose its kernels for one instruction set.
class Forced {
 public:
  explicit Forced(cpu::Isa isa) {
    if (const char* before = std::getenv(kVariable)) before_ = before;
    setenv(kVariable, std::string(cpu::name(isa)).c_str(), 1);
  }
  ~Forced() { before_ ? setenv(kVariable, before_->c_str(), 1) : unsetenv(kVariable); }
  Forced(const Forced&) = delete;
  Forced& operator=(const Forced&) = delete;

 private:
  static constexpr const char* kVariable = "RAREFY_ISA";
  std::optional<std::string> before_;
};

}  // namespace

Report check_batch_norm(cpu::Isa isa) {
  Report report{"batch norm", std::string(cpu::name(isa)), cpu::has(isa), {}, {}};
  if (!report.ran) {
    report.why_not = not_available(isa);
    return report;
  }
  const Forced forced(isa);
  for (const char* name : {"statistics", "application", "gradient"})
    report.checks.push_back({name, 0, 0, kTolerance, {}});
  Rng rng(0xBA7C);
  for (const std::int64_t rows : {2, 3, 1000, 1025, 2500}) {
    for (const std::int64_t channels : {1, 3, 8, 17, 32, 64, 257}) {
      Normal p(rows, channels, rng);
      const std::string text = std::to_string(rows) + " rows of " + std::to_string(channels) + " channels";
      check_statistics(p, report.checks[0], text);
      for (const Activation a : {Activation::none, Activation::relu, Activation::leaky_relu})
        check_apply(p, a, report.checks[1], text);
      for (const bool relu : {false, true}) check_gradient(p, relu, report.checks[2], text);
    }
  }
  return report;
}

}  // namespace rarefy::self_check
