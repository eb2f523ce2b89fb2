#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/format.h"

namespace rarefy::report {

std::string figures(std::span<const Figure> all) {
  std::string html = "<dl class=\"figures\">";
  for (const Figure& f : all) {
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd>", escape(f.label), escape(f.value));
    if (!f.note.empty()) html += fmt::format("<dd class=\"note\">{}</dd>", escape(f.note));
    html += "</div>";
  }
  return html + "</dl>\n";
}

std::string stacked_bar(std::span<const Bar> parts, std::string_view description) {
  double total = 0;
  for (const Bar& part : parts) total += part.value;
  std::string bar = fmt::format("<div class=\"stacked\" role=\"img\" aria-label=\"{}\">", escape(description));
  std::string key = "<ul class=\"key\">";
  for (const Bar& part : parts) {
    const double share = total > 0 ? part.value / total : 0;
    bar += fmt::format("<span class=\"fill-{}\" style=\"width:{:.3f}%\" title=\"{}\"></span>", part.kind, share * 100,
                       escape(part.tip));
    key +=
        fmt::format("<li><i class=\"fill-{}\"></i>{} <b>{}</b></li>", part.kind, escape(part.label), escape(part.tip));
  }
  return bar + "</div>\n" + key + "</ul>\n";
}

std::string columns(std::span<const Bar> all, std::string_view largest, std::string_view description, double mark) {
  constexpr double kStep = 10, kWidth = 8, kHeight = 120;
  double top = mark;
  for (const Bar& bar : all) top = std::max(top, bar.value);
  std::string html = fmt::format(
      "<figure class=\"columns\"><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" "
      "role=\"img\" aria-label=\"{}\">",
      escape(largest), kStep * std::max<double>(1, static_cast<double>(all.size())), kHeight, escape(description));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double height = top > 0 ? all[i].value / top * kHeight : 0;
    html += fmt::format(
        "<g><title>{0}</title><rect class=\"hit\" x=\"{1:.0f}\" y=\"0\" width=\"{2:.0f}\" height=\"{3:.0f}\"/>"
        "<rect class=\"fill-{4}\" x=\"{5:.0f}\" y=\"{6:.2f}\" width=\"{7:.0f}\" height=\"{8:.2f}\"/></g>",
        escape(all[i].tip), kStep * static_cast<double>(i), kStep, kHeight, all[i].kind,
        kStep * static_cast<double>(i) + (kStep - kWidth) / 2, kHeight - height, kWidth, height);
  }
  if (mark > 0 && top > 0) {
    html +=
        fmt::format("<line class=\"mark-line\" x1=\"0\" x2=\"{}\" y1=\"{:.2f}\" y2=\"{:.2f}\"/>",
                    kStep * static_cast<double>(all.size()), kHeight * (1 - mark / top), kHeight * (1 - mark / top));
  }
  return html + "</svg></figure>\n";
}

std::string table(const Table& table) {
  const auto side = [&](std::size_t column) {
    return column < table.numeric.size() && table.numeric[column] ? " class=\"n\"" : "";
  };
  std::string html = fmt::format("<div class=\"table{}\"><table>", table.narrow ? " narrow" : "");
  if (!table.caption.empty()) html += fmt::format("<caption>{}</caption>", escape(table.caption));
  html += "<thead><tr>";
  for (std::size_t c = 0; c < table.head.size(); ++c) {
    html += fmt::format("<th scope=\"col\"{}>{}</th>", side(c), escape(table.head[c]));
  }
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c) html += fmt::format("<td{}>{}</td>", side(c), row[c]);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string bar_cell(std::string_view text, double share) {
  return fmt::format("<span class=\"cell\"><b><i style=\"width:{:.1f}%\"></i></b><span>{}</span></span>",
                     std::clamp(share, 0.0, 1.0) * 100, escape(text));
}

std::string folded(std::string_view summary, std::string_view html) {
  return fmt::format("<details><summary>{}</summary>{}</details>\n", escape(summary), html);
}

std::string paragraph(std::string_view text) { return fmt::format("<p>{}</p>\n", escape(text)); }

std::string code(std::string_view text) { return fmt::format("<pre><code>{}</code></pre>\n", escape(text)); }

std::string facts(std::span<const Fact> all) {
  std::string html = "<dl class=\"facts\">";
  for (const Fact& fact : all) html += fmt::format("<dt>{}</dt><dd>{}</dd>", escape(fact.name), escape(fact.value));
  return html + "</dl>\n";
}

void Page::section(std::string_view heading, std::string_view explanation) {
  if (in_section_) body_ += "</section>\n";
  in_section_ = true;
  body_ += fmt::format("<section><h2>{}</h2>\n", escape(heading));
  if (!explanation.empty()) body_ += fmt::format("<p class=\"explain\">{}</p>\n", escape(explanation));
}

void Page::script(std::string_view source) {
  std::string text(source);
  // "</script" may only occur inside strings and comments of a script, where the backslash changes nothing.
  for (std::size_t at = 0; (at = text.find("</script", at)) != std::string::npos; at += 9) text.insert(at + 1, 1, '\\');
  scripts_ += "<script>\n" + text + "\n</script>\n";
}

std::string Page::html() const {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n"
      "<title>{} · rarefy</title>\n<style>\n",
      escape(title_));
  html += asset("page.css");
  html += styles_;
  html += fmt::format(
      "</style>\n</head>\n<body>\n<header><p class=\"mark\">rarefy</p><h1>{}</h1><p "
      "class=\"lead\">{}</p></header>\n<main>\n",
      escape(title_), escape(lead_));
  html += body_;
  if (in_section_) html += "</section>\n";
  html += "</main>\n";
  html += scripts_;
  return html + "</body>\n</html>\n";
}

}  // namespace rarefy::report
