#include "kernels/cpu/peak.h"

#include <time.h>

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/peak_chains.h"

namespace rarefy {
namespace conv_cpu {

float run_chains_portable(std::int64_t rounds, float factor, float term) {
  using Four = float __attribute__((vector_size(16)));
  const Four a = {factor, factor, factor, factor};
  const Four b = {term, term, term, term};
  Four acc[kChains];
  for (int i = 0; i < kChains; ++i) acc[i] = b * static_cast<float>(i);
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * a + b;
  }
  Four sum = acc[0];
  for (int i = 1; i < kChains; ++i) sum += acc[i];
  return sum[0] + sum[1] + sum[2] + sum[3];
}

}  // namespace conv_cpu

namespace {

struct Chains {
  conv_cpu::ChainFunction run;
  int lanes;
};

Chains chains_of(cpu::Isa isa) {
#if defined(__x86_64__)
  if (isa == cpu::Isa::avx512) return {&conv_cpu::run_chains_avx512, 16};
  if (isa == cpu::Isa::avx2) return {&conv_cpu::run_chains_avx2, 8};
#endif
  return {&conv_cpu::run_chains_portable, 4};
}

/// CPU time of this thread: waiting for a busy machine does not count.
double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

double measure_peak_gflops(cpu::Isa isa) {
  RAREFY_CHECK(cpu::has(isa), UnsupportedError, "the peak of {} cannot be measured: this CPU ({}) has {}",
               cpu::name(isa), cpu::model_name(), cpu::name(cpu::best_isa()));
  const Chains chains = chains_of(isa);
  constexpr std::int64_t kRounds = 400'000;  // about 2 ms
  const double operations = 2.0 * static_cast<double>(kRounds) * conv_cpu::kChains * chains.lanes;
  const double start = thread_seconds();
  double best = 0.0;
  volatile float sink = 0.0f;
  do {
    const double begin = thread_seconds();
    sink = chains.run(kRounds, 0.999f, 0.001f);
    best = std::max(best, operations / (thread_seconds() - begin) * 1e-9);
  } while (thread_seconds() - start < 0.05);
  static_cast<void>(sink);
  return best;
}

}  // namespace rarefy
