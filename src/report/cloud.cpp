#include "report/cloud.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "report/format.h"

namespace rarefy::report {

std::string base64(std::span<const std::uint8_t> bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const std::uint32_t three = bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
    text += kDigits[three >> 18];
    text += kDigits[three >> 12 & 63];
    text += left > 1 ? kDigits[three >> 6 & 63] : '=';
    text += left > 2 ? kDigits[three & 63] : '=';
  }
  return text;
}

namespace {

/// Value below which `share` of the values lie; 0 when there are none.
float percentile(std::vector<float> values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

bool finite(const float* point) {
  return std::isfinite(point[0]) && std::isfinite(point[1]) && std::isfinite(point[2]);
}

/// Which points go into the page: finite ones, evenly thinned.
std::vector<std::int64_t> chosen_points(const Cloud& cloud) {
  std::vector<std::int64_t> finite_points;
  for (std::size_t i = 0; i < cloud.labels.size(); ++i) {
    if (finite(&cloud.xyz[3 * i])) finite_points.push_back(static_cast<std::int64_t>(i));
  }
  const auto all = static_cast<std::int64_t>(finite_points.size());
  if (all <= cloud.most_points) return finite_points;
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < cloud.most_points; ++i) {
    chosen.push_back(finite_points[static_cast<std::size_t>(i * all / cloud.most_points)]);
  }
  return chosen;
}

std::string array(std::string_view name, std::span<const std::uint8_t> bytes) {
  return fmt::format("<script type=\"text/plain\" data-array=\"{}\">{}</script>\n", name, base64(bytes));
}

/// int16 steps, little-endian.
std::string positions(const Cloud& cloud, const std::vector<std::int64_t>& chosen, double step) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(chosen.size() * 6);
  for (const std::int64_t i : chosen) {
    for (int axis = 0; axis < 3; ++axis) {
      const double steps = std::round(cloud.xyz[static_cast<std::size_t>(3 * i + axis)] / step);
      const auto value = static_cast<std::uint16_t>(static_cast<std::int16_t>(std::clamp(steps, -32767.0, 32767.0)));
      bytes.push_back(static_cast<std::uint8_t>(value & 255));
      bytes.push_back(static_cast<std::uint8_t>(value >> 8));
    }
  }
  return array("xyz", bytes);
}

std::string labels(std::string_view name, std::span<const std::uint8_t> of_points,
                   const std::vector<std::int64_t>& chosen) {
  std::vector<std::uint8_t> bytes;
  for (const std::int64_t i : chosen) bytes.push_back(of_points[static_cast<std::size_t>(i)]);
  return array(name, bytes);
}

/// Echoes are mostly weak: the square root of the share of the 98th percentile uses the range of colours.
std::string intensities(const Cloud& cloud, const std::vector<std::int64_t>& chosen) {
  std::vector<float> values;
  for (const std::int64_t i : chosen) values.push_back(cloud.intensity[static_cast<std::size_t>(i)]);
  const float top = std::max(percentile(values, 0.98), 1e-6f);
  std::vector<std::uint8_t> bytes;
  for (const float v : values) {
    const float share = std::isfinite(v) ? std::clamp(v / top, 0.0f, 1.0f) : 0.0f;
    bytes.push_back(static_cast<std::uint8_t>(std::lround(255 * std::sqrt(share))));
  }
  return array("intensity", bytes);
}

std::string legend(const Cloud& cloud) {
  std::vector<std::int64_t> points(256, 0);
  for (const std::uint8_t label : cloud.labels) ++points[label < cloud.classes.size() ? label : 255];
  std::vector<std::size_t> order(256);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return points[a] > points[b]; });
  std::string html =
      "<aside class=\"legend\"><h2>Classes<span><button type=\"button\" data-all=\"show\">all</button>"
      "<button type=\"button\" data-all=\"hide\">none</button></span></h2><ul>\n";
  for (const std::size_t c : order) {
    if (points[c] == 0) continue;
    const CloudClass& shown = c < cloud.classes.size() ? cloud.classes[c] : CloudClass{"no class", {110, 110, 110}};
    html += fmt::format(
        "<li><button type=\"button\" aria-pressed=\"true\" data-class=\"{0}\" data-color=\"{1},{2},{3}\" "
        "title=\"{4} points. Click: hide or show; double click: only this one\" style=\"--c:rgb({1},{2},{3})\">"
        "<i></i><span>{5}</span><span>{6}</span></button></li>\n",
        c, shown.color[0], shown.color[1], shown.color[2], count(points[c]), escape(shown.name),
        percent(static_cast<double>(points[c]) / static_cast<double>(cloud.labels.size())));
  }
  return html + "</ul></aside>\n";
}

std::string mode_button(std::string_view mode, std::string_view text, bool first) {
  return fmt::format("<button type=\"button\" data-mode=\"{}\" aria-pressed=\"{}\">{}</button>", mode, first, text);
}

std::string stage(const Cloud& cloud) {
  std::string html =
      "<div class=\"stage\"><canvas tabindex=\"0\" aria-label=\"Point cloud: drag to turn, scroll to zoom\"></canvas>"
      "<span class=\"tag\" hidden>◦ scanner</span><div class=\"bar\"><div class=\"group\" role=\"group\" "
      "aria-label=\"Colour\">";
  html += mode_button("class", "Class", true);
  if (!cloud.intensity.empty()) html += mode_button("intensity", "Intensity", false);
  html += mode_button("height", "Height", false);
  if (!cloud.truth.empty()) html += mode_button("error", "Errors", false);
  return html +
         "</div><label class=\"group size\">Points<input type=\"range\" min=\"0.4\" max=\"3\" step=\"0.1\" value=\"1\" "
         "aria-label=\"Point size\"></label><div class=\"group push\"><button type=\"button\" data-look=\"above\">From "
         "above"
         "</button><button type=\"button\" data-look=\"start\">Reset</button></div></div>"
         "<div class=\"scale\"></div><div class=\"hint\">Drag to turn · scroll to zoom · shift-drag to move</div>"
         "<noscript><div class=\"told\">The picture needs JavaScript; all figures below do "
         "not.</div></noscript></div>\n";
}

}  // namespace

std::int64_t add_cloud(Page& page, const Cloud& cloud) {
  const std::size_t points = cloud.labels.size();
  RAREFY_CHECK(cloud.xyz.size() == 3 * points && (cloud.intensity.empty() || cloud.intensity.size() == points) &&
                   (cloud.truth.empty() || cloud.truth.size() == points),
               UsageError, "report: {} labels, but {} coordinates, {} intensities and {} true labels", points,
               cloud.xyz.size(), cloud.intensity.size(), cloud.truth.size());
  const auto chosen = chosen_points(cloud);
  float reach = 0;
  std::vector<float> heights;
  for (const std::int64_t i : chosen) {
    const float* p = &cloud.xyz[static_cast<std::size_t>(3 * i)];
    reach = std::max({reach, std::abs(p[0]), std::abs(p[1]), std::abs(p[2])});
    heights.push_back(p[2]);
  }
  const double step = std::max(0.005, reach / 32767.0);
  page.style(asset("viewer.css"));
  page.add(
      fmt::format("<div class=\"viewer\" id=\"viewer\" data-step=\"{}\" data-low=\"{:.2f}\" data-high=\"{:.2f}\">\n",
                  step, percentile(heights, 0.02), percentile(heights, 0.98)));
  page.add(stage(cloud));
  page.add(legend(cloud));
  page.add(positions(cloud, chosen, step));
  page.add(labels("label", cloud.labels, chosen));
  if (!cloud.truth.empty()) page.add(labels("truth", cloud.truth, chosen));
  if (!cloud.intensity.empty()) page.add(intensities(cloud, chosen));
  page.add("</div>\n");
  page.script("/*\n" + std::string(asset("three_licence.txt")) + "*/\n" + std::string(asset("three.js")));
  for (const auto name : {"cloud.js", "orbit.js", "view3d.js", "view2d.js", "viewer.js"}) page.script(asset(name));
  return static_cast<std::int64_t>(chosen.size());
}

}  // namespace rarefy::report
