#include "peers/contest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <thread>

#include "base/check.h"
#include "common/console.h"
#include "common/interrupt.h"
#include "common/machine.h"
#include "peers/peer.h"

namespace rarefy::peer {
namespace {

using cli::bench::Spread;
using Clock = std::chrono::steady_clock;

/// OpenBLAS's threads spin for some 25 ms after their work: they must not take a core from the other side.
void let_threads_sleep(int threads) {
  if (threads > 1) std::this_thread::sleep_for(std::chrono::milliseconds(40));
}

/// LibTorch is not always faster with more threads: the number that serves this row best. What takes seconds is tried
/// once.
int best_threads(const Contestant& peer, int threads) {
  if (threads == 1) return 1;
  constexpr double kLongMs = 1000;
  std::array<double, 2> best{1e30, 1e30};
  const std::array<int, 2> choices{threads, 1};
  for (int i = 0; i < (best[0] > kLongMs && i > 0 ? 1 : 2); ++i) {
    for (std::size_t c = 0; c < choices.size(); ++c) {
      set_threads(choices[c]);
      best[c] = std::min(best[c], peer.run());
    }
  }
  return best[1] < best[0] ? 1 : threads;
}

Json side_json(const std::vector<double>& times, double gflop, double peak, double memory) {
  const Spread s = cli::bench::spread(times);
  Json json = {{"ms", s.median}, {"low", s.low}, {"high", s.high}, {"least", s.least}, {"most", s.most}};
  if (gflop > 0) {
    json["gflops"] = 1000 * gflop / s.median;
    json["of_peak"] = 1000 * gflop / s.median / peak;
  }
  if (memory > 0) json["peak_memory_mb"] = memory;
  return json;
}

/// Memory of one side in a process of its own, or 0.
double measured_memory(const Settings& settings, const std::string& name, const std::string& side) {
  if (settings.memory_command.empty()) return 0;
  std::string command;
  for (std::string word : settings.memory_command) {
    for (std::size_t at = 0; (at = word.find('\'', at)) != std::string::npos; at += 4) word.replace(at, 1, "'\\''");
    command += "'" + word + "' ";
  }
  command += "--only '" + name + "' --memory-of " + side;
  FILE* pipe = popen(command.c_str(), "r");
  RAREFY_CHECK(pipe != nullptr, Error, "cannot start {}", command);
  double memory = 0;
  const int found = std::fscanf(pipe, "%lf", &memory);
  const int status = pclose(pipe);
  RAREFY_CHECK(found == 1 && status == 0, Error, "the process that measures memory failed: {}", command);
  return memory;
}

}  // namespace

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  RAREFY_CHECK(a.size() == b.size(), ShapeError, "our result has {} values, the peer's {}", a.size(), b.size());
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(d <= difference)) difference = d;  // a NaN stays
  }
  return difference == 0 ? 0 : difference / largest;
}

double same_labels(const std::vector<float>& a, const std::vector<float>& b, std::int64_t classes) {
  RAREFY_CHECK(a.size() == b.size(), ShapeError, "our result has {} values, the peer's {}", a.size(), b.size());
  const std::size_t rows = a.size() / static_cast<std::size_t>(classes);
  const auto largest = [&](const std::vector<float>& scores, std::size_t row) {
    const auto first = scores.begin() + static_cast<std::ptrdiff_t>(row * static_cast<std::size_t>(classes));
    return std::max_element(first, first + classes) - first;
  };
  std::size_t same = 0;
  for (std::size_t row = 0; row < rows; ++row) same += largest(a, row) == largest(b, row) ? 1 : 0;
  return rows == 0 ? 1.0 : static_cast<double>(same) / static_cast<double>(rows);
}

Json run_contest(const Contest& contest, const Settings& settings, cli::bench::Peak& peak) {
  const double our_memory = measured_memory(settings, contest.name, "ours");
  const double peer_memory = measured_memory(settings, contest.name, "peer");
  const Contestant ours = contest.ours(), peer = contest.peer();
  set_threads(settings.threads);
  ours.run();
  peer.run();
  const std::vector<float> our_result = ours.result(), peer_result = peer.result();
  const double error = relative_error(our_result, peer_result);
  RAREFY_CHECK(error <= contest.tolerance, Error,
               "{}: the peer's result differs by {:.1e} of the largest value, allowed are {:.1e}: what computes "
               "different things is not timed",
               contest.name, error, contest.tolerance);
  if (ours.loss) {
    const double expected = ours.loss(), found = peer.loss();
    RAREFY_CHECK(std::abs(found - expected) <= 1e-5 * std::abs(expected), Error,
                 "{}: our loss is {}, the peer's {}: what computes different things is not timed", contest.name,
                 expected, found);
  }
  const int threads = best_threads(peer, settings.threads);
  std::vector<double> our_times, peer_times;
  const auto start = Clock::now();
  while (static_cast<int>(our_times.size()) < settings.least ||
         (cli::bench::ms_since(start) < 1000 * settings.seconds && our_times.size() < 200)) {
    cli::check_interrupt();
    let_threads_sleep(settings.threads);
    set_threads(1);  // what LibTorch has to do on our side, it does in the calling thread
    our_times.push_back(ours.run());
    set_threads(threads);
    peer_times.push_back(peer.run());
    if (our_times.size() % 8 == 2) peak.measure_again();
  }
  const double limit = peak.gflops() * settings.threads, gflop = ours.gflop ? ours.gflop() : 0;
  Json row = {{"name", contest.name}, {"threads", settings.threads}};
  row.update(contest.about);
  row["error"] = error;
  if (contest.classes > 0) row["same_labels"] = same_labels(our_result, peer_result, contest.classes);
  row["repetitions"] = our_times.size();
  if (gflop > 0) row["gflop"] = gflop;
  row["peak_gflops"] = peak.gflops();
  row["ours"] = side_json(our_times, gflop, limit, our_memory);
  row["peer"] = side_json(peer_times, gflop, limit, peer_memory);
  row["peer"]["threads"] = threads;
  row["ratio"] = cli::bench::median(peer_times) / cli::bench::median(our_times);
  return row;
}

double memory_of_side(const Contest& contest, const std::string& side, int threads) {
  set_threads(side == "ours" ? 1 : threads);
  const Contestant contestant = side == "ours" ? contest.ours() : contest.peer();
  for (int i = 0; i < 2; ++i) contestant.run();
  return cli::peak_memory_mb();
}

void print_header(int threads) {
  cli::print("{:<46} {:>8} | {:>9} {:>17} {:>7} {:>8} | {:>9} {:>17} {:>7} {:>8} | {:>6}\n",
             fmt::format("{} thread{}", threads, threads > 1 ? "s" : ""), "error", "rarefy ms", "quartiles", "of peak",
             "MB", "peer ms", "quartiles", "of peak", "MB", "ratio");
}

void print_row(const Json& row) {
  const auto side = [](const Json& s) {
    return fmt::format("{:>9.2f} {:>17} {:>7} {:>8}", s["ms"].get<double>(),
                       fmt::format("{:.2f}..{:.2f}", s["low"].get<double>(), s["high"].get<double>()),
                       s.contains("of_peak") ? fmt::format("{:.1f} %", 100 * s["of_peak"].get<double>()) : "",
                       s.contains("peak_memory_mb") ? fmt::format("{:.0f}", s["peak_memory_mb"].get<double>()) : "");
  };
  const std::string agreement =
      row.contains("same_labels") ? fmt::format("   {:.1f} % same labels", 100 * row["same_labels"].get<double>()) : "";
  cli::print("{:<46} {:>8.1e} | {} | {} | {:>6.2f}{}\n", row["name"].get<std::string>(), row["error"].get<double>(),
             side(row["ours"]), side(row["peer"]), row["ratio"].get<double>(), agreement);
}

}  // namespace rarefy::peer
