#pragma once
/// The shell that all reports share: one HTML file that opens from disk, loads nothing, reads well in light and dark
/// and on a phone. A page is a head and a sequence of fragments; the functions below make fragments.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rarefy::report {

/// One file of src/report/assets, or "three.js"; embedded when the report is built.
/// @throws UsageError for a name that is none
std::string_view asset(std::string_view name);

/// A figure that stands alone.
struct Figure {
  std::string value;  ///< "412 ms"
  std::string label;  ///< what it is, a few words
  std::string note;   ///< smaller; may be empty
};
/// A row of figures.
std::string figures(std::span<const Figure> all);

/// A part of a bar or a column of a chart; `kind` picks the colour: "a" to "e", "bad".
struct Bar {
  std::string label;
  double value = 0;
  std::string kind = "a";
  std::string tip;  ///< shown when pointed at
};
/// One bar in which all parts lie side by side, each as long as its share, with a legend below.
std::string stacked_bar(std::span<const Bar> parts, std::string_view description);
/// Columns in order, heights from zero; the axis is marked with the largest value, formatted by the caller.
/// @param mark  a dashed line at this value, which may lie above all columns; 0 = none
std::string columns(std::span<const Bar> all, std::string_view largest, std::string_view description, double mark = 0);

/// A table; cells are HTML made by the caller (use escape). Columns named in `numeric` are set flush right.
struct Table {
  std::vector<std::string> head;
  std::vector<bool> numeric;
  std::vector<std::vector<std::string>> rows;
  std::string caption;  ///< plain text; may be empty
  bool narrow = false;  ///< few columns: keep them close together
};
std::string table(const Table& table);
/// A cell with a bar of length share (0..1) beside its text.
std::string bar_cell(std::string_view text, double share);

/// Something that is folded away until asked for.
std::string folded(std::string_view summary, std::string_view html);
/// Plain text as a paragraph; a block of code; a list of "name: value" facts.
std::string paragraph(std::string_view text);
std::string code(std::string_view text);
struct Fact {
  std::string name;
  std::string value;
};
std::string facts(std::span<const Fact> all);

class Page {
 public:
  /// @param title  the page's one sentence
  /// @param lead   what the reader sees, in one or two sentences
  Page(std::string title, std::string lead) : title_(std::move(title)), lead_(std::move(lead)) {}
  /// Opens a section; fragments added afterwards belong to it.
  void section(std::string_view heading, std::string_view explanation = {});
  /// Adds a fragment (HTML).
  void add(std::string_view html) { body_ += html; }
  /// Adds a script that runs after the page is read; its source is kept out of the way of the HTML parser.
  void script(std::string_view source);
  void style(std::string_view css) { styles_ += css; }
  std::string html() const;

 private:
  std::string title_;
  std::string lead_;
  std::string styles_;
  std::string body_;
  std::string scripts_;
  bool in_section_ = false;
};

}  // namespace rarefy::report
