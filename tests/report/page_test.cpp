#include "report/page.h"

#include <gtest/gtest.h>

#include <limits>

#include "rarefy/error.h"
#include "report/cloud.h"
#include "report/format.h"

namespace rarefy::report {
namespace {

TEST(Format, figures_as_people_read_them) {
  EXPECT_EQ(count(0), "0");
  EXPECT_EQ(count(999), "999");
  EXPECT_EQ(count(1234567), "1,234,567");
  EXPECT_EQ(count(-1234), "-1,234");
  EXPECT_EQ(prefixed(27), "27");
  EXPECT_EQ(prefixed(34.3e9), "34.3 G");
  EXPECT_EQ(prefixed(999.9e3), "1.00 M");
  EXPECT_EQ(duration(0.834), "0.83 ms");
  EXPECT_EQ(duration(412.4), "412 ms");
  EXPECT_EQ(duration(3908), "3.91 s");
  EXPECT_EQ(bytes(101e9), "101 GB");
  EXPECT_EQ(bytes(12), "12 B");
  EXPECT_EQ(percent(0.1234), "12.3 %");
  EXPECT_EQ(percent(1), "100 %");
  EXPECT_EQ(percent(0), "0.0 %");
  EXPECT_EQ(percent(0.00012), "0.012 %");
}

TEST(Format, nothing_leaves_its_place_in_the_html) {
  EXPECT_EQ(escape("<b>'x' & \"y\"</b>"), "&lt;b&gt;&#39;x&#39; &amp; &quot;y&quot;&lt;/b&gt;");
}

TEST(Base64, known_vectors) {  // RFC 4648, section 10
  const auto of = [](std::string_view text) {
    return base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  };
  EXPECT_EQ(of(""), "");
  EXPECT_EQ(of("f"), "Zg==");
  EXPECT_EQ(of("fo"), "Zm8=");
  EXPECT_EQ(of("foo"), "Zm9v");
  EXPECT_EQ(of("foobar"), "Zm9vYmFy");
}

TEST(Assets, three_js_is_embedded_and_others_are_refused) {
  EXPECT_GT(asset("three.js").size(), 300000u);
  EXPECT_THROW(asset("missing.js"), UsageError);
}

TEST(Page, sections_and_titles_are_escaped) {
  Page page("a < b", "c & d");
  page.section("e > f", "why");
  page.add(paragraph("g < h"));
  page.script("var s = '</script>';");
  const std::string html = page.html();
  EXPECT_NE(html.find("<title>a &lt; b · rarefy</title>"), std::string::npos);
  EXPECT_NE(html.find("c &amp; d"), std::string::npos);
  EXPECT_NE(html.find("<h2>e &gt; f</h2>"), std::string::npos);
  EXPECT_NE(html.find("<p>g &lt; h</p>"), std::string::npos);
  EXPECT_NE(html.find("var s = '<\\/script>';"), std::string::npos);
  EXPECT_EQ(html.find("<section>"), html.rfind("<section>"));
  EXPECT_NE(html.find("</section>"), std::string::npos);
}

TEST(Cloud, arrays_that_disagree_are_refused) {
  Page page("t", "l");
  const std::vector<float> xyz(9);
  const std::vector<std::uint8_t> labels(2);
  EXPECT_THROW(add_cloud(page, {.xyz = xyz, .labels = labels}), UsageError);
}

TEST(Cloud, points_that_are_not_finite_are_left_out_and_many_are_thinned) {
  std::vector<float> xyz(3 * 1000, 1.0f);
  xyz[30] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::uint8_t> labels(1000);
  Page page("t", "l");
  EXPECT_EQ(add_cloud(page, {.xyz = xyz, .labels = labels, .classes = {{"a", {1, 2, 3}}}}), 999);
  EXPECT_EQ(add_cloud(page, {.xyz = xyz, .labels = labels, .classes = {{"a", {1, 2, 3}}}, .most_points = 100}), 100);
}

TEST(Cloud, a_scan_without_points_gives_a_page) {
  Page page("t", "l");
  EXPECT_EQ(add_cloud(page, {}), 0);
}

}  // namespace
}  // namespace rarefy::report
