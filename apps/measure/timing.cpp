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

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

Peak::Peak() { measure_again(); }
void Peak::measure_again() { samples_.push_back(measure_peak_gflops(cpu::allowed_isa())); }
double Peak::gflops() const { return median(samples_); }

}  // namespace rarefy::cli::bench
