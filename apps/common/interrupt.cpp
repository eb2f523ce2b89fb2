#include "common/interrupt.h"

#include <csignal>

#include "rarefy/error.h"

namespace rarefy::cli {
namespace {

/// Made before the handler is installed; without callbacks a request to stop is one atomic operation.
std::stop_source& source() {
  static std::stop_source source;
  return source;
}

extern "C" void on_signal(int signal) {
  std::signal(signal, SIG_DFL);
  source().request_stop();
}

}  // namespace

void watch_interrupts() {
  source();
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

std::stop_token interrupt_token() { return source().get_token(); }

void check_interrupt() {
  if (source().stop_requested()) throw Cancelled("interrupted");
}

}  // namespace rarefy::cli
