#include "measure/timing.h"

#include <time.h>

#include <algorithm>

#include "kernels/cpu/peak.h"

namespace rarefy::cli::bench {

double thread_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) { return spread(std::move(values)).median; }

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  // Between the two neighbours of the place, as numpy.quantile does.
  const auto at = [&values](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {at(0.5), at(0.25), at(0.75), values.front(), values.back()};
}

Peak::Peak() { measure_again(); }
void Peak::measure_again() { samples_.push_back(measure_peak_gflops(cpu::allowed_isa())); }
double Peak::gflops() const { return median(samples_); }

}  // namespace rarefy::cli::bench
