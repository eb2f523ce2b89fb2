#include "common/command.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <thread>

namespace rarefy::cli {

void set_examples(CLI::App& command, const std::string& examples) { command.footer("Examples:\n" + examples); }

void add_threads(CLI::App& command, int& threads) {
  command.add_option("--threads", threads, "Threads to compute with (default: all cores)")->check(CLI::Range(1, 1024));
}

void add_format(CLI::App& command, std::string& format) {
  command.add_option("--format", format, "Format of the scan, when its extension does not tell");
}

void add_plan(CLI::App& command, PlanChoice& choice) {
  command.add_option("--device", choice.device, "Where the model runs: cpu (default), or cuda: the first GPU")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->option_text("cpu|cuda");
  command.add_option("--precision", choice.precision, "What a GPU computes with: fp16 (default), bf16, tf32 or fp32")
      ->check(CLI::IsMember({"fp16", "bf16", "tf32", "fp32"}))
      ->option_text("NAME");
  command.add_option("--tuning", choice.tuning,
                     "File of `rarefy tune` for this model and CPU (default: a cost model chooses)");
}

void add_json(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Print figures as JSON (docs/cli.md lists the fields)");
}

int threads_or_all(int threads) {
  return threads > 0 ? threads : static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 1024u));
}

namespace {

std::string& typed() {
  static std::string text;
  return text;
}

std::string quoted(std::string_view word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("-_./=,:+@%", c) != nullptr;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return std::string(word);
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace

void remember_command_line(int argc, const char* const* argv) {
  for (int i = 0; i < argc; ++i) typed() += (i > 0 ? " " : "") + quoted(argv[i]);
}

const std::string& command_line() { return typed(); }

}  // namespace rarefy::cli
