#pragma once
/// Measurements of `rarefy bench`: medians over repetitions, shares of a peak measured in between.
#include <CLI/CLI.hpp>
#include <chrono>
#include <vector>

namespace rarefy::cli::bench {

void declare_conv(CLI::App& command);
void declare_model(CLI::App& command);
/// Proves every kernel variant that this CPU runs, and prints what was found. @throws Exit when one fails
void run_self_check(bool json);

/// Milliseconds since.
inline double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}
/// CPU time of the calling thread, ms: what a busy machine cannot take away.
double thread_ms();
/// Middle value; the mean of the two middle ones for an even number. 0 for none.
double median(std::vector<double> values);

/// The single-core fp32 peak, measured again and again between other measurements, since clocks drift.
class Peak {
 public:
  Peak();
  void measure_again();
  /// Median so far, GFLOP/s of one core.
  double gflops() const;

 private:
  std::vector<double> samples_;
};

}  // namespace rarefy::cli::bench
