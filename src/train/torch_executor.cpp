#include "train/torch_executor.h"

#include <ATen/Parallel.h>

namespace rarefy::train {

std::unique_ptr<Executor> make_torch_executor(int threads) {
  at::set_num_threads(1);
  return make_thread_pool(threads);
}

}  // namespace rarefy::train
