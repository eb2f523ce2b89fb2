#pragma once
/// The threads of training.
#include <memory>

#include "rarefy/executor.h"

namespace rarefy::train {

/// Our own pool for our own kernels; the little that LibTorch still computes stays in the calling thread, because a
/// second pool would compete for the same cores and would make bits depend on the number of threads. Sets the number of
/// threads that LibTorch uses when called from this thread, so make it in the thread that trains.
std::unique_ptr<Executor> make_torch_executor(int threads);

}  // namespace rarefy::train
