#pragma once
/// What LibTorch needs in its environment to be at its best.

namespace rarefy::peer {

/// OpenBLAS told its core type (it picks a slow one on CPUs that it does not know) and number of threads, OpenMP's
/// threads told to sleep while they wait. Libraries read this when they are loaded: starts the program again where
/// something is missing, and returns where nothing is.
void prepare_environment(int threads, char** argv);

}  // namespace rarefy::peer
