#pragma once
/// Where parallel work runs. The core starts no thread unless asked: hosts pass their own pool as an Executor.
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "rarefy/export.h"

namespace rarefy {

/// Non-owning reference to a callable; valid while the callable lives (that is: during the call it is passed to).
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef>>>
  FunctionRef(F&& f)  // NOLINT
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Runs parts of one piece of work, on as many threads as it likes. Results of rarefy never depend on how many:
/// the order of every sum is chosen by the work, never by the executor.
class RAREFY_API Executor {
 public:
  virtual ~Executor() = default;
  /// Most parts that run at the same time; `worker` below is smaller than this.
  virtual int concurrency() const = 0;
  /// Calls `f(part, worker)` once for each part in [0, parts), in any order, and returns when all are done.
  /// Two calls that run at the same time have different `worker` numbers in [0, concurrency()).
  /// The first exception that a part throws is rethrown here after all started parts ended; parts not started are
  /// dropped. Not reentrant: `f` must not call parallel_for of the same executor.
  virtual void parallel_for(std::int64_t parts, FunctionRef<void(std::int64_t part, int worker)> f) = 0;
};

/// Runs everything in the calling thread. Stateless; one instance serves everybody.
RAREFY_API Executor& serial_executor();

/// A pool of `threads` threads, the calling one included (1 = no thread is started). Spins at most 50 microseconds
/// before it sleeps. One parallel_for at a time; a second caller waits. @throws UsageError unless 1 <= threads <= 1024.
RAREFY_API std::unique_ptr<Executor> make_thread_pool(int threads);

}  // namespace rarefy
