#include "common/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace rarefy::cli {
namespace {

/// Whether a progress line stands on the terminal and must be cleared before other text.
bool& line_is_open() {
  static bool open = false;
  return open;
}

void clear_line() {
  if (!line_is_open()) return;
  std::fputs("\r\x1b[K", stderr);
  line_is_open() = false;
}

std::string clock(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole >= 3600) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} s", whole);
}

}  // namespace

void print(std::string_view text) {
  clear_line();
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  RAREFY_CHECK(written, IoError, "standard output: {}", std::strerror(errno));
}

void print_json(const nlohmann::ordered_json& json) {
  print(std::string_view(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n"));
}

void complain(std::string_view message) {
  clear_line();
  std::fputs(fmt::format("rarefy: {}\n", message).c_str(), stderr);
}

void notice(std::string_view message) { complain(fmt::format("note: {}", message)); }

ProgressLine::ProgressLine(std::string unit, std::int64_t total)
    : unit_(std::move(unit)),
      total_(total),
      start_(std::chrono::steady_clock::now()),
      shown_(start_),
      terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() { clear_line(); }

void ProgressLine::update(std::int64_t done) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - start_).count();
  if (!terminal_ || seconds < 2 || (line_is_open() && now - shown_ < std::chrono::milliseconds(100))) return;
  shown_ = now;
  std::fputs(("\r\x1b[K" + text(unit_, done, total_, seconds)).c_str(), stderr);
  line_is_open() = true;
}

std::string ProgressLine::text(std::string_view unit, std::int64_t done, std::int64_t total, double seconds) {
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string line = fmt::format("{}/{} {}", done, total, unit);
  if (rate > 0) {
    line += fmt::format(", {:.{}f} {}/s, {} to go", rate, rate < 10 ? 2 : 0, unit,
                        clock(static_cast<double>(total - done) / rate));
  }
  return line;
}

LiveLine::LiveLine(double seconds_between_plain_lines)
    : shown_(std::chrono::steady_clock::now()), interval_(100), terminal_(isatty(STDERR_FILENO) == 1) {
  if (!terminal_) interval_ = std::chrono::milliseconds(std::llround(1000 * seconds_between_plain_lines));
}

LiveLine::~LiveLine() { clear_line(); }

bool LiveLine::due() const { return std::chrono::steady_clock::now() - shown_ >= interval_; }

void LiveLine::show(std::string_view text) {
  shown_ = std::chrono::steady_clock::now();
  if (!terminal_) {
    std::fputs(fmt::format("{}\n", text).c_str(), stderr);
    return;
  }
  winsize window{};
  // One column stays free: many terminals wrap as soon as the last one is written.
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1;
  std::fputs(fmt::format("\r\x1b[K{}", text.substr(0, known ? window.ws_col - 1u : 79u)).c_str(), stderr);
  line_is_open() = true;
}

}  // namespace rarefy::cli
