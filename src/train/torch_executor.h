#pragma once
/// Our kernels on LibTorch's threads: one pool serves both.
#include <memory>

#include "rarefy/executor.h"

namespace rarefy::train {

/// Runs parts on the threads of LibTorch's own pool (OpenMP). Sets the number of threads that LibTorch uses when called
/// from this thread, so make it in the thread that trains.
std::unique_ptr<Executor> make_torch_executor(int threads);

}  // namespace rarefy::train
