#include "common/machine.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

namespace rarefy::cli {
namespace {

/// Seconds of all cores spent on anything since boot, and seconds of this process.
struct Spent {
  double machine = -1;
  double own = 0;
};

Spent spent() {
  Spent now;
  std::ifstream stat("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
  if (stat >> cpu >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal) {
    now.machine = (user + nice + system + irq + soft + steal) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  timespec own{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
  now.own = static_cast<double>(own.tv_sec) + 1e-9 * static_cast<double>(own.tv_nsec);
  return now;
}

}  // namespace

double other_load() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const Spent before = spent();
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  const Spent after = spent();
  if (before.machine < 0 || after.machine < 0) return -1;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return (after.machine - before.machine - (after.own - before.own)) / seconds;
}

std::string busy_warning() {
  const double load = other_load();
  if (load < 0.3) return {};
  return fmt::format("this machine is busy: other programs use {:.1f} of its {} cores; times are too long and vary",
                     load, std::thread::hardware_concurrency());
}

double peak_memory_mb() {
  // Not getrusage first: its maximum outlives exec and so may be that of the program which started this one.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) * 1024 / 1e6;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

double resident_memory_mb() {
  std::ifstream pages("/proc/self/statm");
  double size = 0, resident = 0;
  if (!(pages >> size >> resident)) return 0;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

std::string program_path() {
  std::array<char, 4096> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : std::string();
}

}  // namespace rarefy::cli
