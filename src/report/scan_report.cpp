#include "report/scan_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/format.h"

namespace rarefy::report {
namespace {

std::string kind_class(const std::string& kind) { return kind == "voxelize" ? "c" : kind == "maps" ? "b" : "a"; }

double gflops(const StepProfile& step) { return step.ms > 0 ? 2e-6 * static_cast<double>(step.macs) / step.ms : 0; }

std::vector<Figure> headline(const ScanReport& r) {
  const RunStatistics& s = r.statistics;
  std::vector<Figure> all;
  all.push_back({duration(s.total_ms), "for this scan",
                 fmt::format("{:.1f} scans a second, {} thread{}", s.total_ms > 0 ? 1000 / s.total_ms : 0, r.threads,
                             r.threads == 1 ? "" : "s")});
  all.push_back({count(s.points), "points", count(s.voxels) + " occupied voxels"});
  if (r.sparsity && s.macs > 0) {
    all.push_back(
        {fmt::format("1 in {}", count(std::llround(r.sparsity->dense_macs / static_cast<double>(s.macs)))),
         "multiply-adds computed",
         fmt::format("{} instead of {}", prefixed(static_cast<double>(s.macs)), prefixed(r.sparsity->dense_macs))});
  }
  if (!r.scores.empty()) {
    const auto occurring =
        std::count_if(r.scores.begin(), r.scores.end(), [](const ClassScore& c) { return c.points > 0; });
    all.push_back({percent(r.mean_iou), "mean IoU against the true labels",
                   fmt::format("{} classes; {} of the points right", occurring, percent(r.accuracy))});
  } else {
    all.push_back({prefixed(static_cast<double>(r.parameters)), "parameters in the network", r.model});
  }
  return all;
}

void add_time(Page& page, const ScanReport& r) {
  const RunStatistics& s = r.statistics;
  const double gflop_rate = s.total_ms > 0 ? 2e-6 * static_cast<double>(s.macs) / s.total_ms : 0;
  std::string text =
      fmt::format("{} in total, {} of arithmetic a second", duration(s.total_ms), prefixed(gflop_rate * 1e9) + "FLOP");
  if (r.peak_gflops > 0) {
    text += fmt::format(
        ": {} of what {} core{} of this machine can do at most ({:.0f} GFLOP/s each, measured in this run)",
        percent(gflop_rate / (r.peak_gflops * r.threads)), r.threads, r.threads == 1 ? "" : "s", r.peak_gflops);
  }
  page.section("Where the time went", text + ".");
  const auto tip = [&](double ms) {
    return fmt::format("{} · {}", duration(ms), percent(s.total_ms > 0 ? ms / s.total_ms : 0));
  };
  std::vector<Bar> parts = {{"Network", s.network_ms, "a", tip(s.network_ms)},
                            {"Finding neighbours", s.maps_ms, "b", tip(s.maps_ms)},
                            {"Making voxels", s.voxelize_ms, "c", tip(s.voxelize_ms)}};
  const double rest = s.total_ms - s.network_ms - s.maps_ms - s.voxelize_ms;
  if (rest > 0.005 * s.total_ms) parts.push_back({"Rest", rest, "d", tip(rest)});
  page.add(stacked_bar(parts, "Share of the time of network, neighbour search and voxelization"));
  if (r.profile.empty()) return;

  double longest = 0;
  for (const StepProfile& step : r.profile) longest = std::max(longest, step.ms);
  std::vector<Bar> bars;
  Table layers{{"Step", "What", "Kernel", "Rows", "Pairs", "Multiply-adds", "GFLOP/s", "Time"},
               {false, false, false, true, true, true, true, true},
               {},
               ""};
  for (const StepProfile& step : r.profile) {
    std::string about = fmt::format("{} ({}): {}", step.name, step.op, duration(step.ms));
    if (step.macs > 0) about += fmt::format(", {:.0f} GFLOP/s", gflops(step));
    if (!step.note.empty()) about += "; " + step.note;
    bars.push_back({step.name, step.ms, kind_class(step.kind), about});
    const std::string note = step.note.empty() ? "" : "<br><small>" + escape(step.note) + "</small>";
    layers.rows.push_back({escape(step.name), escape(step.op) + note, escape(step.variant), count(step.rows),
                           step.pairs > 0 ? count(step.pairs) : "",
                           step.macs > 0 ? prefixed(static_cast<double>(step.macs)) : "",
                           step.macs > 0 ? fmt::format("{:.0f}", gflops(step)) : "",
                           bar_cell(duration(step.ms), longest > 0 ? step.ms / longest : 0)});
  }
  page.add(columns(bars, "slowest step: " + duration(longest),
                   fmt::format("Time of each of the {} steps, in the order in which they ran", bars.size())));
  page.add(
      "<p class=\"explain\" style=\"margin-top:8px\">One column per step, in the order in which they ran. Point at one "
      "to see which it is.</p>");
  page.add(folded(fmt::format("All {} steps as a table", bars.size()), table(layers)));
}

void add_sparsity(Page& page, const ScanReport& r) {
  if (!r.sparsity || r.sparsity->levels.empty()) return;
  const Sparsity& s = *r.sparsity;
  const Level& fine = s.levels.front();
  page.section(
      "What was not computed",
      "A dense network would fill the box around the scan with cells and compute all of them, though almost all are "
      "air. Here only occupied voxels exist, and each meets only the neighbours that exist.");
  std::vector<Figure> all = {{percent(static_cast<double>(fine.voxels) / std::max(1.0, fine.cells)),
                              "of the box is occupied",
                              fmt::format("{} of {} cells", count(fine.voxels), prefixed(fine.cells))}};
  if (fine.pairs > 0) {
    all.push_back({fmt::format("{:.1f} of {}", fine.neighbours(), fine.volume), "neighbours exist per voxel",
                   fmt::format("{} pairs instead of {}", count(fine.pairs),
                               prefixed(static_cast<double>(fine.volume) * static_cast<double>(fine.voxels)))});
  }
  all.push_back({prefixed(s.dense_macs), "multiply-adds if dense",
                 fmt::format("{} were computed", prefixed(static_cast<double>(r.statistics.macs)))});
  all.push_back({bytes(s.dense_tensor_bytes), "for one dense tensor",
                 fmt::format("float32, {} channels, finest level", s.dense_channels)});
  page.add(figures(all));
  Table levels{{"Level", "Voxel edge", "Voxels", "Cells of the box", "Occupied", "Pairs", "Neighbours per voxel"},
               {false, true, true, true, true, true, true},
               {},
               ""};
  for (std::size_t i = 0; i < s.levels.size(); ++i) {
    const Level& level = s.levels[i];
    const double edge = (r.voxel_size.empty() ? 1.0 : r.voxel_size[0]) * static_cast<double>(level.stride);
    levels.rows.push_back({std::to_string(i), fmt::format("{:.0f} cm", edge * 100), count(level.voxels),
                           prefixed(level.cells),
                           percent(static_cast<double>(level.voxels) / std::max(1.0, level.cells)),
                           level.pairs > 0 ? count(level.pairs) : "",
                           level.pairs > 0 ? bar_cell(fmt::format("{:.1f} of {}", level.neighbours(), level.volume),
                                                      level.neighbours() / static_cast<double>(level.volume))
                                           : ""});
  }
  page.add(table(levels));
}

void add_scores(Page& page, const ScanReport& r) {
  if (r.scores.empty()) return;
  page.section(
      "How right it is",
      "IoU per class over the points that have a true label: points that are the class both truly and by the network, "
      "divided by points that are it by either. The mean is over classes that occur in this scan.");
  Table scores{{"Class", "True points", "IoU"}, {false, true, true}, {}, "", true};
  for (const ClassScore& c : r.scores) {
    if (c.points == 0) continue;
    scores.rows.push_back({escape(c.name), count(c.points), bar_cell(percent(c.iou), c.iou)});
  }
  page.add(table(scores));
}

}  // namespace

std::string scan_page(const ScanReport& r) {
  const RunStatistics& s = r.statistics;
  Page page(
      fmt::format("{} laser points, each given its class in {}", count(s.points), duration(s.total_ms)),
      fmt::format(
          "One turn of a spinning laser scanner ({}). A sparse neural network decided for each point what it belongs "
          "to; the colour says what. It ran on {} thread{} of {}.",
          r.scan, r.threads, r.threads == 1 ? "" : "s", r.cpu));
  const std::int64_t shown = add_cloud(page, r.cloud);
  if (shown + s.points_not_finite < s.points) {
    page.add(
        paragraph(fmt::format("Shown are {} of {} points, evenly drawn, to keep this page small; all were labelled.",
                              count(shown), count(s.points))));
  }
  for (const std::string& notice : r.notices) page.add(paragraph("Note: " + notice));
  page.section("In figures");
  page.add(figures(headline(r)));
  add_scores(page, r);
  add_time(page, r);
  add_sparsity(page, r);
  page.section("Repeat it");
  page.add(code(r.command));
  page.add(facts(std::vector<Fact>{
      {"Scan", r.scan},
      {"Model", fmt::format("{} ({} parameters)", r.model, count(r.parameters))},
      {"Machine", fmt::format("{}, {} thread{}, {} kernels", r.cpu, r.threads, r.threads == 1 ? "" : "s", r.isa)},
      {"rarefy", fmt::format("{}, commit {}", r.version, r.commit)},
      {"Viewer", "three.js r111 (MIT licence, text in this file)"}}));
  return page.html();
}

}  // namespace rarefy::report
