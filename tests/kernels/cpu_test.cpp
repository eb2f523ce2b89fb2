#include "base/cpu.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "kernels/cpu/peak.h"
#include "rarefy/error.h"

namespace rarefy::test {
namespace {

TEST(Cpu, features_agree_with_the_kernel) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "features are those of x86-64; under an emulator /proc/cpuinfo tells of the machine below it";
#endif
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  std::set<std::string> flags;
  while (flags.empty() && std::getline(file, line)) {
    if (line.rfind("flags", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    flags.insert(std::istream_iterator<std::string>(words), {});
  }
  if (flags.empty()) GTEST_SKIP() << "/proc/cpuinfo has no flags here";
  const auto all = [&](std::initializer_list<const char*> names) {
    for (const char* n : names) {
      if (flags.count(n) == 0) return false;
    }
    return true;
  };
  const cpu::Features& f = cpu::features();
  EXPECT_EQ(f.avx2_fma, all({"avx2", "fma", "f16c"}));
  EXPECT_EQ(f.avx512, all({"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"}));
  EXPECT_EQ(f.avx512_vnni, f.avx512 && all({"avx512_vnni"}));
  EXPECT_EQ(f.avx512_fp16, f.avx512 && all({"avx512_fp16"}));
}

TEST(Cpu, wishes) {
  EXPECT_EQ(cpu::allowed_isa("portable"), cpu::Isa::portable);
  EXPECT_EQ(cpu::allowed_isa(""), cpu::best_isa());
  EXPECT_THROW(cpu::allowed_isa("AVX2"), UsageError);
  for (const auto isa : {cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (cpu::has(isa)) {
      EXPECT_EQ(cpu::allowed_isa(cpu::name(isa)), isa);
    } else {
      EXPECT_THROW(cpu::allowed_isa(cpu::name(isa)), UnsupportedError);
    }
  }
}

TEST(Cpu, has_a_name) {
  EXPECT_FALSE(cpu::model_name().empty());
  EXPECT_NE(cpu::model_name().front(), ' ');
  EXPECT_NE(cpu::model_name().back(), ' ');
}

TEST(Peak, is_plausible_for_every_instruction_set) {
  for (const auto isa : {cpu::Isa::portable, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (!cpu::has(isa)) {
      EXPECT_THROW(measure_peak_gflops(isa), UnsupportedError);
      continue;
    }
    const double peak = measure_peak_gflops(isa);
    EXPECT_GT(peak, 0.1) << cpu::name(isa);
    EXPECT_LT(peak, 2000.0) << cpu::name(
        isa);  // no core does 2 TFLOP/s of fp32: the work would have been optimised away
  }
}

}  // namespace
}  // namespace rarefy::test
