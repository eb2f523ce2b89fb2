#include "train/curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "base/check.h"

namespace rarefy::train {
namespace {

constexpr std::string_view kHeader =
    "step,scans,seconds,learning_rate,loss,cross_entropy,lovasz,train_miou,validation_miou\n";
constexpr double kWidth = 720, kPanel = 220, kLeft = 60, kRight = 20, kTop = 40, kGap = 50;

struct Line {
  std::string colour, name;
  std::function<double(const CurvePoint&)> value;  ///< negative: no point here
};

/// One panel: frame, ticks, lines.
std::string panel(const std::vector<CurvePoint>& curve, double top, double highest, const std::string& title,
                  const std::vector<Line>& lines) {
  const double last = curve.empty() ? 1.0 : static_cast<double>(std::max<std::int64_t>(1, curve.back().step));
  const auto x = [&](double step) { return kLeft + (kWidth - kLeft - kRight) * step / last; };
  const auto y = [&](double v) { return top + kPanel * (1.0 - std::clamp(v / highest, 0.0, 1.0)); };
  std::string svg = fmt::format("<text x='{}' y='{}' class='t'>{}</text>\n", kLeft, top - 8, title);
  for (int i = 0; i <= 4; ++i) {
    const double v = highest * i / 4.0;
    svg += fmt::format("<path d='M{} {:.1f}H{}' class='g'/><text x='{}' y='{:.1f}' text-anchor='end'>{:.3g}</text>\n",
                       kLeft, y(v), kWidth - kRight, kLeft - 6, y(v) + 4, v);
  }
  double legend = kWidth - kRight;
  for (const Line& line : lines) {
    std::string path;
    for (const CurvePoint& p : curve)
      if (line.value(p) >= 0.0)
        path +=
            fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x(static_cast<double>(p.step)), y(line.value(p)));
    svg += fmt::format("<path d='{}' fill='none' stroke='{}' stroke-width='1.6'/>\n", path, line.colour);
    svg += fmt::format("<text x='{}' y='{}' text-anchor='end' style='fill:{}'>{}</text>\n", legend, top - 8,
                       line.colour, line.name);
    legend -= 90;
  }
  svg += fmt::format("<text x='{}' y='{}' text-anchor='end'>{:.0f} steps</text>\n", kWidth - kRight, top + kPanel + 18,
                     last);
  return svg;
}

}  // namespace

std::string curve_to_csv(const std::vector<CurvePoint>& curve) {
  std::string csv(kHeader);
  for (const CurvePoint& p : curve)
    csv += fmt::format("{},{},{:.3f},{:.9g},{:.6f},{:.6f},{:.6f},{:.6f},{}\n", p.step, p.scans, p.seconds, p.rate,
                       p.loss, p.cross_entropy, p.lovasz, p.train_miou,
                       p.validation_miou < 0.0 ? std::string() : fmt::format("{:.6f}", p.validation_miou));
  return csv;
}

std::vector<CurvePoint> curve_from_csv(std::string_view text, const std::string& where) {
  std::vector<CurvePoint> curve;
  std::int64_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (++number == 1 || line.empty()) continue;
    std::vector<double> fields;
    const char* at = line.c_str();
    for (;;) {
      char* after = nullptr;
      const double v = std::strtod(at, &after);
      fields.push_back(after == at ? -1.0 : v);
      if (*after != ',') break;
      at = after + 1;
    }
    RAREFY_CHECK(fields.size() == 9, InputError, "{}: line {} of the curve has {} fields, expected 9", where, number,
                 fields.size());
    curve.push_back({static_cast<std::int64_t>(fields[0]), static_cast<std::int64_t>(fields[1]), fields[2], fields[3],
                     fields[4], fields[5], fields[6], fields[7], fields[8]});
  }
  return curve;
}

std::string curve_to_svg(const std::vector<CurvePoint>& curve, const std::string& title) {
  double highest = 0.1;
  for (const CurvePoint& p : curve) highest = std::max(highest, p.loss);
  const double second = kTop + kPanel + kGap + 10, height = second + kPanel + 30;
  std::string svg = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {0} {1}' width='{0}' height='{1}' font-family='sans-serif' "
      "font-size='12'>\n<style>text{{fill:#777}}.t{{font-weight:bold}}.g{{stroke:#999;stroke-opacity:.3}}</style>\n"
      "<text x='{2}' y='16'>{3}</text>\n",
      kWidth, height, kLeft, title);
  svg += panel(curve, kTop, highest, "loss",
               {{"#c0392b", "total", [](const CurvePoint& p) { return p.loss; }},
                {"#d68910", "Lovász", [](const CurvePoint& p) { return p.lovasz; }},
                {"#2471a3", "entropy", [](const CurvePoint& p) { return p.cross_entropy; }}});
  svg += panel(curve, second, 1.0, "mIoU",
               {{"#1e8449", "held-out", [](const CurvePoint& p) { return p.validation_miou; }},
                {"#2471a3", "training", [](const CurvePoint& p) { return p.train_miou; }}});
  return svg + "</svg>\n";
}

}  // namespace rarefy::train
