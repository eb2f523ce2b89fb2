#include "report/stream_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/format.h"
#include "report/page.h"

namespace rarefy::report {
namespace {

using Quantiles = StreamReport::Quantiles;

std::string threads_of(const StreamReport& r) {
  return fmt::format("{} thread{}", r.threads, r.threads == 1 ? "" : "s");
}

std::string many(std::int64_t number, std::string_view one, std::string_view more) {
  return fmt::format("{} {}", count(number), number == 1 ? one : more);
}

std::string title(const StreamReport& r) {
  if (r.labelled == 0) return "No scan was labelled";
  return fmt::format("{} labelled, 99 of 100 within {}", many(r.labelled, "laser scan", "laser scans"),
                     duration(r.latency.p99));
}

std::string lead(const StreamReport& r) {
  const std::string played = r.rate > 0 ? fmt::format("Scans arrived {:.3g} times a second, as from a sensor", r.rate)
                                        : std::string("Scans arrived as fast as they could be labelled");
  return fmt::format("{}, for {}. The network ran on {} of {}.", played, duration(1000 * r.seconds), threads_of(r),
                     r.cpu);
}

std::vector<Figure> headline(const StreamReport& r) {
  std::vector<Figure> all;
  all.push_back({duration(r.latency.p50), "median latency", "from a scan's arrival to its labels"});
  all.push_back({duration(r.latency.p99), "for 99 of 100 scans", "longest " + duration(r.latency.longest)});
  if (r.deadline_ms > 0) {
    const double share = r.labelled > 0 ? static_cast<double>(r.missed) / static_cast<double>(r.labelled) : 0;
    all.push_back({count(r.missed), "missed deadlines",
                   fmt::format("{} of the labelled scans took more than {}", percent(share), duration(r.deadline_ms))});
  }
  const std::int64_t dropped = r.no_place + r.late;
  all.push_back({count(dropped), "scans dropped",
                 dropped == 0
                     ? "every scan was begun"
                     : fmt::format("{} had no place, {} were late already", count(r.no_place), count(r.late))});
  all.push_back({fmt::format("{:.3g}", r.seconds > 0 ? static_cast<double>(r.labelled) / r.seconds : 0),
                 "scans labelled a second",
                 r.failed > 0 ? many(r.failed, "scan could not be read", "scans could not be read") : ""});
  return all;
}

std::string moment_tip(const StreamReport& r, std::size_t index) {
  const StreamReport::Moment& m = r.moments[index];
  const double from = r.moment_seconds * static_cast<double>(index);
  std::string text = fmt::format("{:.1f} to {:.1f} s: {} labelled", from, from + r.moment_seconds, m.labelled);
  if (m.labelled > 0) text += ", slowest " + duration(m.worst_ms);
  if (m.missed > 0) text += fmt::format(", {} missed the deadline", m.missed);
  if (m.dropped > 0) text += fmt::format(", {} dropped", m.dropped);
  if (m.memory_mb > 0) text += fmt::format(", {:.0f} MB", m.memory_mb);
  return text;
}

void add_latency(Page& page, const StreamReport& r) {
  page.section(
      "Latency",
      fmt::format("One column per {:.3g} s, as high as the slowest scan that arrived in it. Orange: a scan was "
                  "dropped; red: one missed its deadline{}.",
                  r.moment_seconds, r.deadline_ms > 0 ? " (the dashed line)" : ""));
  std::vector<Bar> bars;
  for (std::size_t m = 0; m < r.moments.size(); ++m) {
    const StreamReport::Moment& moment = r.moments[m];
    bars.push_back({"", moment.worst_ms, moment.missed > 0 ? "bad" : moment.dropped > 0 ? "b" : "a", moment_tip(r, m)});
  }
  page.add(
      columns(bars, "longest: " + duration(r.latency.longest), "Slowest scan of each stretch of time", r.deadline_ms));
  bars.clear();
  std::int64_t most = 0;
  for (const StreamReport::Range& range : r.spread) {
    most = std::max(most, range.frames);
    bars.push_back({"", static_cast<double>(range.frames),
                    r.deadline_ms > 0 && range.from_ms >= r.deadline_ms ? "bad" : "a",
                    fmt::format("{} to {}: {}", duration(range.from_ms), duration(range.to_ms), count(range.frames))});
  }
  if (bars.empty()) return;
  page.add(
      fmt::format("<p class=\"explain\" style=\"margin-top:26px\">How many scans took how long: from {} on the "
                  "left to {} on the right, each column a few percent longer than the one before.</p>",
                  escape(duration(r.spread.front().from_ms)), escape(duration(r.spread.back().to_ms))));
  page.add(columns(bars, "most: " + many(most, "scan", "scans"), "Number of scans by latency"));
}

void add_parts(Page& page, const StreamReport& r) {
  page.section(
      "Where the time went",
      "The parts of the mean latency. While the network computes one scan, other threads read the next one and "
      "find its neighbours; waiting is what is left.");
  // Shown in the order of importance, coloured as on the page of one scan.
  const std::pair<std::string_view, std::pair<std::string_view, std::string_view>> shown[] = {
      {"network", {"Network", "a"}},
      {"maps", {"Finding neighbours", "b"}},
      {"voxelize", {"Making voxels", "c"}},
      {"read", {"Reading the file", "d"}},
      {"wait", {"Waiting", "e"}}};
  std::vector<Bar> bars;
  Table parts{{"Part", "Mean", "Median", "99 of 100", "Longest"}, {false, true, true, true, true}, {}, ""};
  const auto row = [&](const std::string& name, const Quantiles& q) {
    parts.rows.push_back({escape(name), bar_cell(duration(q.mean), r.latency.mean > 0 ? q.mean / r.latency.mean : 0),
                          duration(q.p50), duration(q.p99), duration(q.longest)});
  };
  for (const auto& [shown_name, look] : shown) {
    const auto part = std::find_if(r.parts.begin(), r.parts.end(),
                                   [name = shown_name](const Quantiles& q) { return q.name == name; });
    if (part == r.parts.end()) continue;
    const double share = r.latency.mean > 0 ? part->mean / r.latency.mean : 0;
    bars.push_back({std::string(look.first), std::max(0.0, part->mean), std::string(look.second),
                    fmt::format("{} · {}", duration(part->mean), percent(share))});
    row(std::string(look.first), *part);
  }
  row("All", r.latency);
  page.add(stacked_bar(bars, "Share of the mean latency of network, neighbour search, voxelization, reading, waiting"));
  page.add(table(parts));
}

void add_memory(Page& page, const StreamReport& r) {
  page.section("Memory", fmt::format("Most that was resident in each stretch of time: {:.0f} MB in the second half, "
                                     "{:.0f} MB in the quarter before it.",
                                     r.memory_after_mb, r.memory_before_mb));
  std::vector<Bar> bars;
  double most = 0;
  for (std::size_t m = 0; m < r.moments.size(); ++m) {
    most = std::max(most, r.moments[m].memory_mb);
    bars.push_back({"", r.moments[m].memory_mb, "c", moment_tip(r, m)});
  }
  page.add(columns(bars, fmt::format("most: {:.0f} MB", most), "Resident memory over time"));
}

std::string policy(const StreamReport& r) {
  if (r.drop == "none") return "none is dropped: scans wait as long as it takes";
  return fmt::format("the {} goes when one arrives and its place is taken; one whose deadline has passed is not begun",
                     r.drop);
}

}  // namespace

std::string stream_page(const StreamReport& r) {
  Page page(title(r), lead(r));
  if (!r.notice.empty()) page.add(paragraph("Note: " + r.notice));
  page.section("In figures");
  page.add(figures(headline(r)));
  if (r.labelled > 0) {
    add_latency(page, r);
    add_parts(page, r);
    add_memory(page, r);
  }
  page.section("Repeat it");
  page.add(code(r.command));
  page.add(facts(
      std::vector<Fact>{{"Scans", fmt::format("{} ({}, played in order)", r.source, many(r.scans, "file", "files"))},
                        {"Each", fmt::format("{} points, {} voxels, {} multiply-adds on average", prefixed(r.points),
                                             prefixed(r.voxels), prefixed(r.macs))},
                        {"Dropping", policy(r)},
                        {"Model", fmt::format("{} ({} parameters)", r.model, count(r.parameters))},
                        {"Machine", fmt::format("{}, {}, {} kernels", r.cpu, threads_of(r), r.isa)},
                        {"rarefy", fmt::format("{}, commit {}", r.version, r.commit)}}));
  return page.html();
}

}  // namespace rarefy::report
