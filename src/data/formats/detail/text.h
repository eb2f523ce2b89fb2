#pragma once
/// Reading text headers and ASCII numbers with line numbers for messages.
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/file.h"

namespace rarefy::formats {

/// Walks over a file's bytes line by line or word by word.
class TextReader {
 public:
  TextReader(ByteView bytes, const std::string& file)
      : text_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), file_(file) {}

  std::size_t position() const { return at_; }
  std::int64_t line() const { return line_; }
  bool at_end() const { return at_ >= text_.size(); }

  /// The next line without its end. @throws InputError at the end of the file or when no line ends within 64 KiB
  std::string_view next_line(std::string_view expected) {
    const std::size_t end = text_.substr(at_, 65536).find('\n');
    if (end == std::string_view::npos)
      fail<InputError>("{}: line {}: the file ends inside the header; expected {}", file_, line_, expected);
    std::string_view line = text_.substr(at_, end);
    at_ += end + 1;
    ++line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  /// The next word, across lines; empty at the end of the file.
  std::string_view next_word() {
    while (at_ < text_.size() && is_space(text_[at_])) line_ += text_[at_++] == '\n';
    const std::size_t begin = at_;
    while (at_ < text_.size() && !is_space(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  /// The next word as a number. @throws InputError naming line, column and what stands there
  double next_number(std::string_view column) {
    std::string_view word = next_word();
    if (word.empty())
      fail<InputError>("{}: line {}: the file ends before '{}' of a point; it is cut off", file_, line_, column);
    const std::string_view whole = word;
    if (word.starts_with('+')) word.remove_prefix(1);
    double value = 0.0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error == std::errc::result_out_of_range) {  // from_chars does not say in which direction
      const double magnitude =
          word.find("e-") != word.npos || word.find("E-") != word.npos ? 0.0 : std::numeric_limits<double>::infinity();
      return word.starts_with('-') ? -magnitude : magnitude;
    }
    if (error != std::errc() || end != word.data() + word.size())
      fail<InputError>("{}: line {}: '{}' should be a number, found '{}'", file_, line_, column, printable(whole));
    return value;
  }

  /// Where the next word starts, or the file's length when only white space is left.
  std::size_t rest_begin() const {
    const std::size_t found = text_.find_first_not_of(" \n\t\r", at_);
    return found == std::string_view::npos ? text_.size() : found;
  }

  static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

  /// At most 40 characters, without control characters.
  static std::string printable(std::string_view text) {
    std::string clean(text.substr(0, 40));
    for (char& c : clean)
      if (c < ' ' || c > '~') c = '?';
    return clean;
  }

 private:
  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

/// Words of a line.
inline std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (at < line.size()) {
    while (at < line.size() && TextReader::is_space(line[at])) ++at;
    const std::size_t begin = at;
    while (at < line.size() && !TextReader::is_space(line[at])) ++at;
    if (at > begin) words.emplace_back(line.substr(begin, at - begin));
  }
  return words;
}

/// A count of a header. @throws InputError when it is no whole number that fits 64 bits
inline std::uint64_t parse_count(const std::string& word, const std::string& file, std::int64_t line,
                                 std::string_view what) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size())
    fail<InputError>("{}: line {}: {} should be a whole number, found '{}'", file, line, what,
                     TextReader::printable(word));
  return value;
}

}  // namespace rarefy::formats
