#pragma once
/// The machine that figures come from.
#include <cstdint>
#include <string>

namespace rarefy::cli {

/// Processes that wanted a core during the last second besides this one, or -1 where the system does not tell.
/// Timings of a machine with more than half a core busy elsewhere are not to be trusted.
double other_load();
/// One line when the machine is busy with other things, else empty.
std::string busy_warning();
/// Most memory that this process held so far, in MB (10^6 bytes).
double peak_memory_mb();
/// Memory of this process that is resident now, in MB (10^6 bytes); 0 where the system does not tell.
double resident_memory_mb();
/// Path of this program; empty where the system does not tell.
std::string program_path();

}  // namespace rarefy::cli
