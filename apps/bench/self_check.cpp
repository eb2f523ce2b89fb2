// rarefy bench --self-check.
#include "self_check/self_check.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/cpu.h"
#include "bench/bench.h"
#include "common/command.h"
#include "common/console.h"

namespace rarefy::cli::bench {
namespace {

using Json = nlohmann::ordered_json;

Json report_json(const self_check::Report& report) {
  Json json = {{"family", report.family}, {"variant", report.variant}, {"ran", report.ran}};
  if (!report.ran) {
    json["why"] = report.why_not;
    return json;
  }
  json["passed"] = report.passed();
  for (const self_check::Check& check : report.checks) {
    json["checks"].push_back(
        {{"name", check.name},
         {"cases", check.cases},
         {"error", std::isfinite(check.error) ? Json(check.error) : Json()},  // JSON knows no infinity
         {"tolerance", check.tolerance},
         {"passed", check.passed()}});
    if (!check.passed()) json["checks"].back()["worst"] = check.worst;
  }
  return json;
}

void print_report(const self_check::Report& report) {
  if (!report.ran) return print("{:<12} {:<13} not run: {}\n", report.family, report.variant, report.why_not);
  for (const self_check::Check& check : report.checks) {
    print("{:<12} {:<13} {:<18} {:>6} {:>10.1e} {:>10.0e}  {}{}\n", report.family, report.variant, check.name,
          check.cases, check.error, check.tolerance, check.passed() ? "passed" : "FAILED",
          check.passed() ? "" : ": " + check.worst);
  }
}

}  // namespace

void run_self_check(bool json) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<self_check::Report> reports = self_check::check_convolutions(conv_variants());
  for (self_check::Report& report : self_check::check_halves(half_variants())) reports.push_back(std::move(report));
  for (self_check::Report& report : self_check::check_integers(int8_variants())) reports.push_back(std::move(report));
  for (const cpu::Isa isa : {cpu::Isa::avx512, cpu::Isa::avx2, cpu::Isa::portable})
    reports.push_back(self_check::check_batch_norm(isa));
  reports.push_back(self_check::check_sparse());
  bool passed = true;
  for (const self_check::Report& report : reports) passed = passed && report.passed();
  if (json) {
    Json all = Json::array();
    for (const self_check::Report& report : reports) all.push_back(report_json(report));
    print_json({{"cpu", cpu::model_name()},
                {"isa", cpu::name(cpu::best_isa())},
                {"passed", passed},
                {"variants", all},
                {"ms", ms_since(start)}});
  } else {
    print("{:<12} {:<13} {:<18} {:>6} {:>10} {:>10}\n", "kernels", "variant", "check", "cases", "error", "tolerance");
    for (const self_check::Report& report : reports) print_report(report);
    print("{}: {} ({:.1f} s)\n", cpu::model_name(), passed ? "every variant that this CPU can run passed" : "FAILED",
          1e-3 * ms_since(start));
  }
  if (passed) return;
  complain(
      "self-check failed: this program computes wrong results on this CPU; force another variant with RAREFY_ISA "
      "and report the lines above");
  throw Exit{kFailure};
}

}  // namespace rarefy::cli::bench
