#pragma once
/// The arithmetic peak of one core, measured: what shares of peak in benchmarks refer to.
#include "base/cpu.h"

namespace rarefy {

/// GFLOP/s of independent fp32 multiply-adds (2 operations each) in registers on the calling thread, with the
/// instructions of `isa`. The best of several short runs in thread CPU time; about 50 ms. Measure it in every run that
/// reports shares: clocks differ between machines and drift on shared ones.
/// @throws UnsupportedError when this CPU lacks `isa`.
double measure_peak_gflops(cpu::Isa isa);

}  // namespace rarefy
