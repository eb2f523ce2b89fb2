#pragma once
/// What the program says: results on standard output, everything else on standard error.
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace rarefy::cli {

/// Prints to standard output. @throws IoError when it cannot be written (a full disk)
void print(std::string_view text);
template <class... Args>
void print(fmt::format_string<Args...> format, Args&&... args) {
  print(std::string_view(fmt::format(format, std::forward<Args>(args)...)));
}
/// Prints indented JSON and a newline. @throws IoError
void print_json(const nlohmann::ordered_json& json);

/// One line "rarefy: message" on standard error, after whatever progress stands there.
void complain(std::string_view message);
/// Likewise for what is no error: "rarefy: note: message".
void notice(std::string_view message);

/// Progress of many units on a terminal: rate and time to go, shown once it takes longer than two seconds.
/// Silent when standard error is no terminal.
class ProgressLine {
 public:
  /// @param unit  what is counted, plural: "scans"
  ProgressLine(std::string unit, std::int64_t total);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void update(std::int64_t done);
  /// Text of the line, for a given time since the start.
  static std::string text(std::string_view unit, std::int64_t done, std::int64_t total, double seconds);

 private:
  std::string unit_;
  std::int64_t total_;
  std::chrono::steady_clock::time_point start_, shown_;
  bool terminal_;
};

/// Figures that are kept up to date on standard error: one line, rewritten in place, on a terminal; elsewhere a line of
/// its own every few seconds.
class LiveLine {
 public:
  explicit LiveLine(double seconds_between_plain_lines = 5);
  ~LiveLine();
  LiveLine(const LiveLine&) = delete;
  LiveLine& operator=(const LiveLine&) = delete;
  /// Time for a new text?
  bool due() const;
  /// Shows it, cut to the width of the terminal.
  void show(std::string_view text);

 private:
  std::chrono::steady_clock::time_point shown_;
  std::chrono::milliseconds interval_;
  bool terminal_;
};

}  // namespace rarefy::cli
