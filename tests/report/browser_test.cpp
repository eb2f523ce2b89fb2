// Opens whole pages in headless Chromium: what is drawn, and that the console stays silent.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "base/file.h"
#include "report/scan_report.h"
#include "report/stream_report.h"
#include "report/street.h"

namespace rarefy::report {
namespace {

/// Output of a shell command, both streams; aborts the test's claim with the command when it cannot run.
std::string output_of(const std::string& command) {
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "cannot run: " + command;
  std::string text;
  std::array<char, 4096> part;
  while (const std::size_t read = std::fread(part.data(), 1, part.size(), pipe)) text.append(part.data(), read);
  pclose(pipe);
  return text;
}

std::string chromium() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    std::string path = output_of(std::string("command -v ") + name);
    if (!path.empty()) return path.substr(0, path.find('\n'));
  }
  return {};
}

struct Sample {
  test::Street street = test::make_street();
  ScanReport report;
};

/// A page with every part filled; the steps and their figures are made up, which its scan's name says.
Sample sample(bool with_truth) {
  Sample s;
  ScanReport& r = s.report;
  r.scan = "made-up street (test)";
  r.model = "none (labels are the test's own)";
  r.cloud.xyz = s.street.xyz;
  r.cloud.intensity = s.street.intensity;
  r.cloud.labels = s.street.labels;
  if (with_truth) r.cloud.truth = s.street.truth;
  const std::vector<CloudClass> classes = {
      {"car", {100, 150, 245}},      {"bicycle", {100, 230, 245}},    {"motorcycle", {30, 60, 150}},
      {"truck", {80, 30, 180}},      {"other-vehicle", {0, 0, 255}},  {"person", {255, 30, 30}},
      {"bicyclist", {255, 40, 200}}, {"motorcyclist", {150, 30, 90}}, {"road", {255, 0, 255}},
      {"parking", {255, 150, 255}},  {"sidewalk", {75, 0, 75}},       {"other-ground", {175, 0, 75}},
      {"building", {255, 200, 0}},   {"fence", {255, 120, 50}},       {"vegetation", {0, 175, 0}},
      {"trunk", {135, 60, 0}},       {"terrain", {150, 240, 80}},     {"pole", {255, 240, 150}},
      {"traffic-sign", {255, 0, 0}}};
  r.cloud.classes = classes;
  r.statistics = {.total_ms = 100,
                  .voxelize_ms = 8,
                  .maps_ms = 22,
                  .network_ms = 69,
                  .macs = 1000000000,
                  .points = static_cast<std::int64_t>(s.street.labels.size()),
                  .voxels = 41234};
  for (int i = 0; i < 60; ++i) {
    r.profile.push_back({"step" + std::to_string(i), "sparse_conv+batch_norm+relu", i % 6 == 1 ? "maps" : "network",
                         "made_up", "blocked", 1.0 + (i * 37) % 11, 1000000 * i, 40000 / (1 + i / 12), 120000});
  }
  r.profile.front().kind = "voxelize";
  r.sparsity = Sparsity{{{1, 41234, 2.1e9, 150000, 27}, {2, 30000, 2.6e8, 160000, 27}, {4, 17000, 3.3e7, 120000, 27}},
                        9.0e12,
                        2.7e11,
                        32};
  r.voxel_size = {0.05, 0.05, 0.05};
  r.parameters = 1234567;
  if (with_truth) {
    for (std::size_t c = 0; c < classes.size(); ++c) {
      std::int64_t both = 0, either = 0, truth = 0;
      for (std::size_t i = 0; i < s.street.truth.size(); ++i) {
        both += s.street.truth[i] == c && s.street.labels[i] == c;
        either += s.street.truth[i] == c || s.street.labels[i] == c;
        truth += s.street.truth[i] == c;
      }
      r.scores.push_back(
          {classes[c].name, either > 0 ? static_cast<double>(both) / static_cast<double>(either) : 0, truth});
    }
    r.mean_iou = 0.9;
    r.accuracy = 0.97;
  }
  r.threads = 2;
  r.peak_gflops = 128;
  r.cpu = "some CPU";
  r.isa = "some";
  r.version = "0.1.0";
  r.commit = "unknown";
  r.command = "rarefy segment street.bin --report out.html";
  return s;
}

class Browser : public testing::Test {
 protected:
  void SetUp() override {
    browser_ = chromium();
    if (browser_.empty()) GTEST_SKIP() << "no chromium on PATH: pages are not rendered (apt-get install chromium)";
    folder_ = std::filesystem::temp_directory_path() / ("rarefy_page_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    if (const char* keep = std::getenv("RAREFY_KEEP_PAGE")) folder_ = keep;
  }
  void TearDown() override {
    if (!folder_.empty() && std::getenv("RAREFY_KEEP_PAGE") == nullptr) std::filesystem::remove_all(folder_);
  }
  /// The document after its scripts ran, and the browser's messages.
  std::string open(const std::string& html, const std::string& flags, const std::string& fragment = "") {
    const std::string page = (folder_ / "page.html").string();
    write_file_atomic(page, std::string_view(html));
    return output_of(browser_ + " --headless --no-sandbox --disable-dev-shm-usage --no-first-run --user-data-dir=" +
                     (folder_ / "profile").string() +
                     " --enable-logging=stderr --virtual-time-budget=4000 --timeout=60000 " + flags +
                     " --window-size=1280,900 --dump-dom 'file://" + page + fragment + "'");
  }
  static void expect_drawn(const std::string& document, const std::string& view, std::size_t points) {
    EXPECT_EQ(document.find("CONSOLE"), std::string::npos)
        << document.substr(document.find("CONSOLE") == std::string::npos ? 0 : document.find("CONSOLE"), 600);
    EXPECT_NE(document.find("data-view=\"" + view + "\""), std::string::npos) << document.substr(0, 2000);
    EXPECT_NE(document.find("data-drawn=\"" + std::to_string(points) + "\""), std::string::npos);
  }
  std::filesystem::path folder_;
  std::string browser_;
};

TEST_F(Browser, draws_in_3d_without_a_word_on_the_console) {
  const Sample s = sample(true);
  const std::string html = scan_page(s.report);
  EXPECT_LT(html.size(), 6u << 20);
  expect_drawn(open(html, "--use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist",
                    "#mode=error"),
               "3d", s.street.labels.size());
}

TEST_F(Browser, draws_from_above_where_webgl_is_missing) {
  const Sample s = sample(false);
  expect_drawn(open(scan_page(s.report), "--disable-gpu --disable-3d-apis"), "2d", s.street.labels.size());
}

/// Presses every button, drags, zooms, types; then says so.
std::string with_a_busy_user(std::string html) {
  const std::string script = R"(<script>
    var viewer = document.getElementById('viewer'), canvas = viewer.querySelector('canvas');
    var send = function (type, x, y, more) {
      canvas.dispatchEvent(new PointerEvent(type, Object.assign({ pointerId: 1, clientX: x, clientY: y, bubbles: true }, more)));
    };
    canvas.setPointerCapture = function () {};
    [{}, { shiftKey: true }, { button: 2 }].forEach(function (more) {
      send('pointerdown', 300, 300, more); send('pointermove', 340, 280, more); send('pointerup', 340, 280, more);
    });
    send('pointerdown', 300, 300); send('pointerdown', 400, 300, { pointerId: 2 });
    send('pointermove', 420, 300, { pointerId: 2 }); send('pointerup', 420, 300, { pointerId: 2 }); send('pointerup', 300, 300);
    canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: 120, cancelable: true }));
    ['ArrowLeft', 'ArrowUp', '+', '-', '0', 'x'].forEach(function (key) { canvas.dispatchEvent(new KeyboardEvent('keydown', { key: key })); });
    viewer.querySelectorAll('button').forEach(function (button) { button.click(); });
    viewer.querySelector('.legend li button').dispatchEvent(new MouseEvent('dblclick'));
    var slider = viewer.querySelector('input'); slider.value = 2; slider.dispatchEvent(new Event('input'));
    var on = viewer.querySelectorAll('.legend li button[aria-pressed=true]').length;
    setTimeout(function () { viewer.dataset.user = 'done, classes shown: ' + on; }, 300);
  </script>)";
  return html.insert(html.rfind("</body>"), script);
}

TEST_F(Browser, every_control_works_in_both_views) {
  const std::string html = with_a_busy_user(scan_page(sample(true).report));
  for (const char* flags : {"--use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist",
                            "--disable-gpu --disable-3d-apis"}) {
    const std::string document = open(html, flags);
    EXPECT_EQ(document.find("CONSOLE"), std::string::npos) << document.substr(0, 1500);
    EXPECT_NE(document.find("data-user=\"done, classes shown: 1\""), std::string::npos) << flags;
  }
}

TEST_F(Browser, an_error_on_the_console_is_noticed) {
  std::string html = scan_page(sample(false).report);
  html.insert(html.rfind("</body>"), "<script>undefined_function();</script>");
  EXPECT_NE(open(html, "--disable-gpu --disable-3d-apis").find("CONSOLE"), std::string::npos);
}

TEST_F(Browser, a_page_without_points_is_silent) {
  ScanReport report;
  expect_drawn(open(scan_page(report), "--disable-gpu --disable-3d-apis"), "2d", 0);
}

/// A stream in which something of everything happened.
StreamReport busy_stream() {
  StreamReport r;
  r.source = "sequences/<08>";
  r.scans = 100;
  r.rate = 10;
  r.deadline_ms = 100;
  r.drop = "oldest";
  r.seconds = 60;
  r.labelled = 580;
  r.missed = 7;
  r.no_place = 18;
  r.late = 2;
  r.latency = {"latency", 71, 70, 120, 140};
  r.parts = {{"read", 2, 2, 4, 6},
             {"wait", 6, 1, 40, 60},
             {"voxelize", 3, 3, 4, 5},
             {"maps", 5, 5, 8, 9},
             {"network", 55, 54, 70, 75}};
  for (int i = 0; i < 40; ++i) r.spread.push_back({60.0 + i, 61.0 + i, i});
  for (int i = 0; i < 150; ++i) r.moments.push_back({4, i % 50 == 0, i % 20 == 0, 60.0 + i % 45, 300.0});
  r.moment_seconds = 0.4;
  r.memory_before_mb = r.memory_after_mb = 300;
  return r;
}

TEST_F(Browser, a_stream_is_shown_without_a_word_on_the_console) {
  const std::string html = stream_page(busy_stream());
  EXPECT_LT(html.size(), 200000u);
  const std::string document = open(html, "--disable-gpu");
  EXPECT_EQ(document.find("CONSOLE"), std::string::npos) << document.substr(0, 1500);
  EXPECT_NE(document.find("99 of 100 within 120 ms"), std::string::npos) << document.substr(0, 1500);
}

TEST(StreamPage, says_what_was_late_and_loads_nothing) {
  const std::string html = stream_page(busy_stream());
  for (const char* part : {"580 laser scans labelled", "18 had no place, 2 were late already", "sequences/&lt;08&gt;",
                           "mark-line", "Waiting", "fill-bad", "300 MB in the second half"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_NE(stream_page({}).find("No scan was labelled"), std::string::npos);
}

TEST(ScanPage, loads_nothing_from_anywhere) {
  const Sample s = sample(true);
  const std::string html = scan_page(s.report);
  const std::string start = html.substr(0, html.find("three.js r111, inlined"));
  EXPECT_EQ(start.find("http://"), std::string::npos);
  EXPECT_EQ(start.find("https://"), std::string::npos);
  EXPECT_EQ(html.find("<script src"), std::string::npos);
  EXPECT_EQ(html.find("<link rel=\"stylesheet\""), std::string::npos);
}

TEST(ScanPage, the_largest_scan_stays_below_six_megabytes) {
  const std::size_t points = 3000000;
  std::vector<float> xyz(3 * points), intensity(points, 0.5f);
  for (std::size_t i = 0; i < xyz.size(); ++i) xyz[i] = static_cast<float>(i % 977) * 0.1f;
  const std::vector<std::uint8_t> labels(points, 3);
  ScanReport report;
  report.cloud = {.xyz = xyz, .intensity = intensity, .labels = labels, .truth = labels, .classes = {}};
  report.statistics.points = static_cast<std::int64_t>(points);
  const std::string html = scan_page(report);
  EXPECT_LT(html.size(), 6u << 20);
  EXPECT_NE(html.find("Shown are 380,000 of 3,000,000 points"), std::string::npos);
}

}  // namespace
}  // namespace rarefy::report
