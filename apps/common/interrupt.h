#pragma once
/// Ctrl-C: the first one asks for a stop between two pieces of work, so that nothing half-made stays; the second kills.
#include <stop_token>

namespace rarefy::cli {

/// Installs the handler of SIGINT and SIGTERM.
void watch_interrupts();
/// Asked to stop by a signal. Pass it to whatever takes a stop token.
std::stop_token interrupt_token();
/// @throws Cancelled when a signal came.
void check_interrupt();

}  // namespace rarefy::cli
