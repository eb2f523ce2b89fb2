#include "stream/page.h"

#include <algorithm>
#include <cmath>

#include "base/cpu.h"
#include "common/build_info.h"
#include "common/command.h"
#include "report/stream_report.h"

namespace rarefy::cli::stream {
namespace {

/// Columns of equal width on a logarithmic axis from the shortest to the longest latency.
std::vector<report::StreamReport::Range> histogram(const Quantiles& latency) {
  constexpr int kColumns = 40;
  std::vector<report::StreamReport::Range> all;
  if (latency.count() == 0) return all;
  const double low = latency.at(0) / 1.02, high = latency.largest() * 1.02;
  for (int c = 0; c < kColumns; ++c) {
    const double from = low * std::pow(high / low, static_cast<double>(c) / kColumns);
    const double to = low * std::pow(high / low, static_cast<double>(c + 1) / kColumns);
    all.push_back({from, to, latency.between(from, to)});
  }
  return all;
}

}  // namespace

std::string make_stream_page(const StreamSummary& s) {
  const Figures& f = s.figures;
  const auto quantiles = [](std::string_view name, const Quantiles& q) {
    return report::StreamReport::Quantiles{std::string(name), q.mean(), q.at(0.5), q.at(0.99), q.largest()};
  };
  report::StreamReport r;
  r.source = s.source;
  r.scans = s.scans;
  r.model = s.model;
  r.rate = s.rate;
  r.deadline_ms = s.deadline_ms;
  r.drop = s.drop;
  r.seconds = s.seconds;
  r.labelled = f.done();
  r.missed = f.missed();
  r.no_place = f.no_place();
  r.late = f.late();
  r.failed = f.failed();
  r.given_up = s.given_up;
  r.latency = quantiles("latency", f.latency());
  for (std::size_t p = 0; p < kParts.size(); ++p) r.parts.push_back(quantiles(kParts[p], f.part(p)));
  r.spread = histogram(f.latency());
  r.moment_seconds = f.series().bin_seconds();
  for (const Bin& bin : f.series().bins())
    r.moments.push_back({bin.done, bin.missed, bin.dropped, bin.worst_ms, bin.memory_mb});
  const double done = static_cast<double>(std::max<std::int64_t>(1, f.done()));
  r.points = static_cast<double>(f.points()) / done;
  r.voxels = static_cast<double>(f.voxels()) / done;
  r.macs = f.macs() / done;
  r.memory_before_mb = f.memory().before;
  r.memory_after_mb = f.memory().after;
  r.parameters = s.parameters;
  r.threads = s.threads;
  r.cpu = cpu::model_name();
  r.isa = cpu::name(cpu::allowed_isa());
  r.version = build_info().version;
  r.commit = build_info().commit;
  r.notice = s.busy;
  r.command = command_line();
  return report::stream_page(r);
}

}  // namespace rarefy::cli::stream
