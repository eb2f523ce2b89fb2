// The self-check finds wrong kernels.
#include "self_check/self_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/cpu.h"
#include "kernels/cpu/conv/kernels.h"
#include "kernels/cpu/conv_half/kernels.h"
#include "kernels/cpu/conv_int8/kernels.h"

namespace rarefy::test {
namespace {

using conv_cpu::ConvKernels;
using conv_cpu::GradientJob;
using conv_cpu::PanelJob;
using testing::HasSubstr;

const ConvVariant& portable() { return conv_variants().back(); }
const ConvKernels& right() { return *portable().kernels; }

/// The report on a variant that is right but for `kernels`.
self_check::Report report_on(const ConvKernels& kernels) {
  const ConvVariant variants[] = {{"injected", cpu::Isa::portable, true, &kernels}};
  auto reports = self_check::check_convolutions(variants);
  EXPECT_EQ(reports.size(), 1u);
  EXPECT_TRUE(reports[0].ran);
  return reports[0];
}

const self_check::Check& check_named(const self_check::Report& report, const std::string& name) {
  for (const self_check::Check& check : report.checks)
    if (check.name == name) return check;
  throw std::out_of_range(name);
}

TEST(SelfCheck, passes_what_is_right) {
  const auto report = report_on(right());
  EXPECT_TRUE(report.passed());
  EXPECT_EQ(report.checks.size(), 6u);
  for (const self_check::Check& check : report.checks) {
    EXPECT_GT(check.cases, 0) << check.name;
    EXPECT_EQ(check.error > 0, check.tolerance > 0) << check.name << ": rounding is there, and nothing else";
  }
}

TEST(SelfCheck, a_lost_correction_of_8_bit_sums_is_found) {
  static const conv_int8_cpu::Int8Kernels& right_one = *int8_variants().back().kernels;
  conv_int8_cpu::Int8Kernels wrong = right_one;
  wrong.forward = [](const conv_int8_cpu::PanelJob& job) {
    conv_int8_cpu::PanelJob less = job;
    less.correction = nullptr;
    right_one.forward(less);
  };
  const Int8Variant injected[] = {{"injected", cpu::Isa::portable, false, 8, &wrong}};
  const auto reports = self_check::check_integers(injected);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_FALSE(reports[0].passed());
  EXPECT_THAT(reports[0].checks[0].worst, HasSubstr("signed"));
  EXPECT_TRUE(self_check::check_integers(int8_variants().last(1))[0].passed());
}

TEST(SelfCheck, halves_that_are_cut_off_instead_of_rounded_are_found) {
  static const conv_half_cpu::HalfKernels& right_one = *half_variants().back().rows;
  conv_half_cpu::HalfKernels wrong = right_one;
  wrong.end_rows = [](const conv_half_cpu::EndJob& job) {
    right_one.end_rows(job);
    for (std::int64_t r = 0; r < job.rows; ++r)
      for (std::int64_t c = 0; c < job.cols; ++c)
        if (job.sums[r * job.sums_stride + c] == 2049.0f) job.y[r * job.y_stride + c] = 0x6801;  // 2050, the odd one
  };
  const HalfVariant injected[] = {{"injected", cpu::Isa::portable, true, &wrong, half_variants().back().products}};
  const auto reports = self_check::check_halves(injected);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_FALSE(check_named(reports[0], "conversions").passed());
  EXPECT_TRUE(self_check::check_halves(half_variants().last(1))[0].passed());
}

TEST(SelfCheck, a_lost_channel_in_the_last_tile_is_found) {
  ConvKernels wrong = right();
  wrong.forward = [](const PanelJob& job) {
    PanelJob less = job;
    if (job.in_channels == 64 && job.pairs.count == 1) less.in_channels = 63;
    right().forward(less);
  };
  const auto report = report_on(wrong);
  EXPECT_FALSE(report.passed());
  EXPECT_FALSE(check_named(report, "forward").passed());
  EXPECT_THAT(check_named(report, "forward").worst, HasSubstr("64 to"));
  EXPECT_TRUE(check_named(report, "weight gradient").passed());
}

TEST(SelfCheck, a_write_beyond_the_tail_is_found) {
  ConvKernels wrong = right();
  wrong.forward = [](const PanelJob& job) {
    right().forward(job);
    if (job.pairs.count == 0) return;
    const std::int64_t channels = (job.vectors - 1) * right().lanes + job.tail;
    if (job.tail == 1) job.y[job.pairs.out_row[0] * job.y_stride + channels] = 0.0f;
  };
  const auto report = report_on(wrong);
  EXPECT_EQ(check_named(report, "forward").error, std::numeric_limits<double>::infinity());
}

TEST(SelfCheck, a_wrong_gradient_is_found) {
  ConvKernels wrong = right();
  wrong.weight_gradient = [](const GradientJob& job) {
    right().weight_gradient(job);
    if (job.count == 48) job.gw[0] *= 1.0001f;
  };
  const auto report = report_on(wrong);
  EXPECT_FALSE(check_named(report, "weight gradient").passed());
  EXPECT_TRUE(check_named(report, "forward").passed());
}

TEST(SelfCheck, a_nan_is_never_within_tolerance) {
  self_check::Check check{"any", 0, 0, 1e-6, {}};
  check.add(std::numeric_limits<double>::quiet_NaN(), "the case");
  check.add(0.0, "another");
  EXPECT_FALSE(check.passed());
  EXPECT_EQ(check.worst, "the case");
}

TEST(SelfCheck, says_why_a_variant_did_not_run) {
  const auto beyond = static_cast<cpu::Isa>(static_cast<int>(cpu::best_isa()) + 1);
  const ConvVariant variants[] = {{"beyond", beyond, true, portable().kernels}};
  const auto reports = self_check::check_convolutions(variants);
  EXPECT_FALSE(reports[0].ran);
  EXPECT_THAT(reports[0].why_not, HasSubstr(std::string(cpu::name(cpu::best_isa()))));
  EXPECT_TRUE(reports[0].checks.empty());
}

}  // namespace
}  // namespace rarefy::test
