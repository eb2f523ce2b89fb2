#include "stream/pipeline.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "base/check.h"

namespace rarefy::cli::stream {
namespace {

using Lock = std::unique_lock<std::mutex>;
using FramePtr = std::unique_ptr<Frame>;

/// Frames that arrive when there is place for them never find it taken.
PipelineOptions with_policy(PipelineOptions options) {
  if (options.period_ms <= 0) options.drop = Drop::none;
  return options;
}

/// Results that nobody has taken yet; then the network waits.
constexpr std::size_t kMostResults = 2;

}  // namespace

/// One monitor for all stages: a few dozen events a second need no more.
struct Pipeline::Impl {
  Impl(const PipelineOptions& o, Stages s) : options(with_policy(o)), stages(std::move(s)), start(Clock::now()) {
    geometries.resize(static_cast<std::size_t>(std::max(1, o.geometries)));
    std::iota(geometries.begin(), geometries.end(), 0);
  }

  const PipelineOptions options;
  const Stages stages;
  const Clock::time_point start;

  std::mutex mutex;
  std::condition_variable changed;
  // All below is guarded by the mutex.
  FramePtr waiting;  ///< read, not prepared
  FramePtr ready;    ///< prepared, not begun
  std::deque<Outcome> outcomes;
  std::size_t results = 0;  ///< of the outcomes, those that are done
  std::vector<FramePtr> spare;
  std::vector<int> geometries;  ///< that no frame has
  std::int64_t arrived = 0, ended = 0;
  int running = 3;  ///< stages
  bool all_read = false, all_made = false;
  bool stopping = false;
  std::exception_ptr error;
  std::vector<std::thread> threads;

  template <class Condition>
  bool wait(Lock& lock, Condition condition) {
    changed.wait(lock, [&] { return stopping || condition(); });
    return !stopping;
  }

  double seconds(Clock::time_point time) const { return std::chrono::duration<double>(time - start).count(); }
  Clock::time_point arrival_of(std::int64_t number) const {
    return start + std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double, std::milli>(options.period_ms * static_cast<double>(number)));
  }
  bool is_late(const Frame& frame) const {
    if (options.drop == Drop::none || options.deadline_ms <= 0) return false;
    return std::chrono::duration<double, std::milli>(Clock::now() - frame.arrival).count() > options.deadline_ms;
  }

  void end_without_result(Fate fate, std::int64_t number, Clock::time_point arrival, std::string message = {}) {
    const std::size_t entry = static_cast<std::size_t>(number) % options.entries;
    outcomes.push_back({fate, number, entry, seconds(arrival), std::move(message), nullptr});
    ++ended;
    changed.notify_all();
  }

  void drop_frame(FramePtr frame, Fate fate) {
    end_without_result(fate, frame->number, frame->arrival);
    keep(std::move(frame));
  }

  void return_geometry(Frame& frame) {
    if (frame.geometry >= 0) geometries.push_back(std::exchange(frame.geometry, -1));
  }

  void keep(FramePtr frame) {
    return_geometry(*frame);
    spare.push_back(std::move(frame));
  }

  FramePtr new_frame(std::int64_t number, Clock::time_point arrival) {
    FramePtr frame;
    if (spare.empty()) {
      frame = std::make_unique<Frame>();
    } else {
      frame = std::move(spare.back());
      spare.pop_back();
    }
    frame->number = number;
    frame->entry = static_cast<std::size_t>(number) % options.entries;
    frame->arrival = arrival;
    frame->times = {};
    return frame;
  }

  /// Does a stage's work without the lock. False: the frame failed and is gone.
  bool work(Lock& lock, FramePtr& frame, const std::function<void(Frame&)>& stage) {
    lock.unlock();
    std::string message;
    try {
      stage(*frame);
    } catch (const Cancelled&) {
      lock.lock();
      stopping = true;
      changed.notify_all();
      return false;
    } catch (const Error& failure) {
      message = failure.what();
    } catch (...) {
      lock.lock();
      if (!error) error = std::current_exception();
      stopping = true;
      changed.notify_all();
      return false;
    }
    lock.lock();
    if (message.empty()) return true;
    end_without_result(Fate::failed, frame->number, frame->arrival, std::move(message));
    keep(std::move(frame));
    return false;
  }

  bool sleep_until(Lock& lock, Clock::time_point time) {
    changed.wait_until(lock, time, [&] { return stopping; });
    return !stopping;
  }

  /// Waits for the arrival of the next frame to read, dropping those that came while the stage was busy.
  /// Nothing: the stream has ended.
  std::optional<std::int64_t> next_arrival(Lock& lock) {
    const bool endless = options.frames <= 0;
    for (;;) {
      const std::int64_t number = arrived;
      if (stopping || (!endless && number >= options.frames)) return std::nullopt;
      const bool may_wait = options.drop == Drop::none;
      if (may_wait && !wait(lock, [&] { return waiting == nullptr; })) return std::nullopt;
      if (options.period_ms > 0 && !sleep_until(lock, arrival_of(number))) return std::nullopt;
      ++arrived;
      const bool last = !endless && arrived >= options.frames;
      const bool overtaken = options.drop == Drop::oldest && !last && Clock::now() >= arrival_of(arrived);
      const bool no_room = options.drop == Drop::newest && waiting != nullptr;
      if (may_wait || (!overtaken && !no_room)) return number;
      end_without_result(Fate::no_place, number, arrival_of(number));
    }
  }

  void read_all() {
    Lock lock(mutex);
    while (const auto number = next_arrival(lock)) {
      FramePtr frame = new_frame(*number, options.period_ms > 0 ? arrival_of(*number) : Clock::now());
      if (!work(lock, frame, stages.read)) continue;
      if (waiting) drop_frame(std::move(waiting), Fate::no_place);  // only this thread fills the place
      waiting = std::move(frame);
      changed.notify_all();
    }
    all_read = true;
  }

  void prepare_all() {
    Lock lock(mutex);
    while (wait(lock, [&] { return waiting != nullptr || all_read; }) && waiting) {
      FramePtr frame = std::move(waiting);
      changed.notify_all();
      if (is_late(*frame)) {
        drop_frame(std::move(frame), Fate::late);
        continue;
      }
      if (!wait(lock, [&] { return !geometries.empty(); })) break;
      frame->geometry = geometries.back();
      geometries.pop_back();
      if (!work(lock, frame, stages.prepare)) continue;
      if (options.drop != Drop::oldest && !wait(lock, [&] { return ready == nullptr; })) break;
      if (ready) drop_frame(std::move(ready), Fate::no_place);
      ready = std::move(frame);
      changed.notify_all();
    }
    all_made = true;
  }

  void infer_all() {
    Lock lock(mutex);
    while (wait(lock, [&] { return results < kMostResults; }) &&
           wait(lock, [&] { return ready != nullptr || all_made; }) && ready) {
      FramePtr frame = std::move(ready);
      changed.notify_all();
      if (is_late(*frame)) {
        drop_frame(std::move(frame), Fate::late);
        continue;
      }
      if (!work(lock, frame, stages.infer)) continue;
      return_geometry(*frame);
      frame->times.latency = std::chrono::duration<double, std::milli>(Clock::now() - frame->arrival).count();
      ++ended;
      ++results;
      const std::int64_t number = frame->number;
      const std::size_t entry = frame->entry;
      const double arrival = seconds(frame->arrival);
      outcomes.push_back({Fate::done, number, entry, arrival, {}, std::move(frame)});
      changed.notify_all();
    }
  }

  void run_stage(void (Impl::*stage)()) {
    (this->*stage)();
    std::lock_guard lock(mutex);
    --running;
    changed.notify_all();
  }
};

Pipeline::Pipeline(const PipelineOptions& options, Stages stages) {
  RAREFY_CHECK(options.entries > 0, UsageError, "a stream needs at least one scan");
  impl_ = std::make_unique<Impl>(options, std::move(stages));
  Impl& p = *impl_;
  p.threads.emplace_back([&p] { p.run_stage(&Impl::read_all); });
  p.threads.emplace_back([&p] { p.run_stage(&Impl::prepare_all); });
  p.threads.emplace_back([&p] { p.run_stage(&Impl::infer_all); });
}

Pipeline::~Pipeline() {
  stop();
  for (std::thread& thread : impl_->threads) thread.join();
}

std::optional<Outcome> Pipeline::next(std::chrono::milliseconds patience) {
  Impl& p = *impl_;
  Lock lock(p.mutex);
  p.changed.wait_for(lock, patience, [&] { return !p.outcomes.empty() || p.running == 0; });
  if (p.error) std::rethrow_exception(std::exchange(p.error, nullptr));
  if (p.outcomes.empty()) return std::nullopt;
  Outcome outcome = std::move(p.outcomes.front());
  p.outcomes.pop_front();
  if (outcome.fate == Fate::done) --p.results;
  p.changed.notify_all();
  return outcome;
}

bool Pipeline::finished() {
  std::lock_guard lock(impl_->mutex);
  return impl_->running == 0 && impl_->outcomes.empty() && !impl_->error;
}

void Pipeline::stop() {
  std::lock_guard lock(impl_->mutex);
  impl_->stopping = true;
  impl_->changed.notify_all();
}

void Pipeline::recycle(std::unique_ptr<Frame> frame) {
  std::lock_guard lock(impl_->mutex);
  impl_->keep(std::move(frame));
}

std::int64_t Pipeline::given_up() {
  std::lock_guard lock(impl_->mutex);
  return impl_->arrived - impl_->ended;
}

Clock::time_point Pipeline::start() const { return impl_->start; }

}  // namespace rarefy::cli::stream
