#include "train/torch_executor.h"

#include <ATen/Parallel.h>

#include <atomic>

#include "base/check.h"

namespace rarefy::train {
namespace {

class TorchExecutor final : public Executor {
 public:
  explicit TorchExecutor(int threads) : threads_(threads) {}
  int concurrency() const override { return threads_; }

  void parallel_for(std::int64_t parts, FunctionRef<void(std::int64_t, int)> f) override {
    if (parts <= 1 || threads_ == 1) {
      for (std::int64_t part = 0; part < parts; ++part) f(part, 0);
      return;
    }
    // One range element per worker; workers take parts from a counter, so that uneven parts balance.
    std::atomic<std::int64_t> next{0};
    at::parallel_for(0, threads_, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t worker = first; worker < last; ++worker) {
        try {
          for (std::int64_t part; (part = next.fetch_add(1, std::memory_order_relaxed)) < parts;)
            f(part, static_cast<int>(worker));
        } catch (...) {
          next.store(parts, std::memory_order_relaxed);
          throw;  // LibTorch rethrows the first one in the caller
        }
      }
    });
  }

 private:
  int threads_;
};

}  // namespace

std::unique_ptr<Executor> make_torch_executor(int threads) {
  RAREFY_CHECK(threads >= 1 && threads <= 1024, UsageError, "threads must be 1 to 1024, got {}", threads);
  at::set_num_threads(threads);
  return std::make_unique<TorchExecutor>(threads);
}

}  // namespace rarefy::train
