#include "self_check/self_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rarefy::self_check {

void Check::add(double case_error, const std::string& what) {
  ++cases;
  if (!std::isnan(case_error) && case_error <= error) return;
  error = std::isnan(case_error) ? HUGE_VAL : case_error;
  worst = what;
}

std::string not_available(cpu::Isa isa) {
  return fmt::format("needs {}, the best of this CPU is {}", cpu::name(isa), cpu::name(cpu::best_isa()));
}

bool Report::passed() const {
  return std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.passed(); });
}

}  // namespace rarefy::self_check
