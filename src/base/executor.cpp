#include "rarefy/executor.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"

namespace rarefy {
namespace {

class SerialExecutor final : public Executor {
 public:
  int concurrency() const override { return 1; }
  void parallel_for(std::int64_t parts, FunctionRef<void(std::int64_t, int)> f) override {
    for (std::int64_t p = 0; p < parts; ++p) f(p, 0);
  }
};

/// Tells the core that this thread only waits. Not sched_yield: Linux (since 6.6) charges each call a whole time slice,
/// so that a thread which yields while it waits gets no core for long once it has work and others want one too.
void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// One job at a time; workers take parts from a shared counter. The epoch tells sleeping workers that a job began.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(int threads) {
    for (int w = 1; w < threads; ++w) threads_.emplace_back([this, w] { work(w); });
  }
  ~ThreadPool() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
  }
  int concurrency() const override { return static_cast<int>(threads_.size()) + 1; }

  void parallel_for(std::int64_t parts, FunctionRef<void(std::int64_t, int)> f) override {
    if (parts <= 0) return;
    std::lock_guard one_job(job_mutex_);
    if (parts == 1 || threads_.empty()) {
      for (std::int64_t p = 0; p < parts; ++p) f(p, 0);
      return;
    }
    {
      std::lock_guard lock(mutex_);
      function_ = &f;
      parts_ = parts;
      error_ = nullptr;
      next_.store(0, std::memory_order_relaxed);
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take_parts(0, f, parts);
    {
      std::lock_guard lock(mutex_);
      function_ = nullptr;  // who wakes only now finds no job: nobody waits for him
    }
    spin_until([this] { return running_.load(std::memory_order_acquire) == 0; });
    if (running_.load(std::memory_order_acquire) != 0) {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [this] { return running_.load(std::memory_order_acquire) == 0; });
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  using Function = FunctionRef<void(std::int64_t, int)>;

  void work(int worker) {
    std::uint64_t seen = 0;
    for (;;) {
      spin_until([&] { return epoch_.load(std::memory_order_acquire) != seen; });
      Function* function = nullptr;
      std::int64_t parts = 0;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
        seen = epoch_.load(std::memory_order_acquire);
        if (stop_) return;
        if (function_ == nullptr) continue;
        function = function_;
        parts = parts_;
        running_.fetch_add(1, std::memory_order_relaxed);
      }
      take_parts(worker, *function, parts);
      if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex_);
        done_.notify_one();
      }
    }
  }

  void take_parts(int worker, Function& function, std::int64_t parts) {
    for (;;) {
      const std::int64_t p = next_.fetch_add(1, std::memory_order_relaxed);
      if (p >= parts) return;
      try {
        function(p, worker);
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(parts, std::memory_order_relaxed);
      }
    }
  }

  template <class Condition>
  static void spin_until(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > limit) return;
      relax();
    }
  }

  std::mutex job_mutex_;  // one parallel_for at a time
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<std::uint64_t> epoch_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> running_{0};
  std::int64_t parts_ = 0;
  Function* function_ = nullptr;  ///< of the job at hand; null = none
  std::exception_ptr error_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

Executor& serial_executor() {
  static SerialExecutor executor;
  return executor;
}

std::unique_ptr<Executor> make_thread_pool(int threads) {
  RAREFY_CHECK(threads >= 1 && threads <= 1024, UsageError, "a thread pool needs 1 to 1024 threads, got {}", threads);
  return std::make_unique<ThreadPool>(threads);
}

}  // namespace rarefy
