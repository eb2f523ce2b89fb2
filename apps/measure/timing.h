#pragma once
/// Clocks, medians, and the peak that figures are compared with.
#include <chrono>
#include <vector>

namespace rarefy::cli::bench {

/// Milliseconds since.
inline double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}
/// Milliseconds that a call takes.
template <class F>
double timed_ms(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return ms_since(start);
}
/// CPU time of the calling thread, ms: what a busy machine cannot take away.
double thread_ms();
/// Middle value; the mean of the two middle ones for an even number. 0 for none.
double median(std::vector<double> values);

/// Where repeated times lie.
struct Spread {
  double median = 0;
  double low = 0, high = 0;  ///< quartiles
  double least = 0, most = 0;
};
Spread spread(std::vector<double> values);

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
