#pragma once
/// Scans played at a sensor's rate through three stages that overlap: reading, geometry, network. Each has a thread of
/// its own; between two stages there is one place, so that what waits is bounded and known.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/scan.h"
#include "stream/pacer.h"

namespace rarefy::cli::stream {

using Clock = std::chrono::steady_clock;

/// Which frame goes when one arrives and its place is taken.
enum class Drop : std::uint8_t {
  oldest,  ///< the one that waits: what is computed is always the latest view of the world
  newest,  ///< the one that arrives: what was begun is finished
  none     ///< neither: the sensor's memory is assumed endless, and latency grows when the machine is too slow
};

/// Where a frame's time went, in ms. `wait` is what is left of the latency: time in which nothing happened to it.
struct FrameTimes {
  double read = 0, voxelize = 0, maps = 0, network = 0;
  double latency = 0;  ///< from its arrival to its labels
  double wait() const { return latency - read - voxelize - maps - network; }
};

/// One scan on its way. Buffers are used again for later frames.
struct Frame {
  std::int64_t number = 0;  ///< counts arrivals
  std::size_t entry = 0;    ///< which scan it is
  Clock::time_point arrival;
  FrameTimes times;
  Scan scan;
  std::vector<float> points;         ///< [N, 4] when the scan has intensity
  std::vector<std::uint8_t> labels;  ///< [N] class index
  std::int64_t voxels = 0, macs = 0;
  std::int64_t voxels_left_out = 0;  ///< ahead of the network
  Pacer::Decision pace;              ///< why
  int geometry = -1;                 ///< number of the one that is its own, from preparing to the network's end
};

/// What became of a frame.
enum class Fate : std::uint8_t {
  done,
  no_place,  ///< dropped: it or a newer one had to go
  late,      ///< dropped before a stage: its deadline had passed already
  failed,    ///< an error, see `message`
};
struct Outcome {
  Fate fate = Fate::done;
  std::int64_t number = 0;
  std::size_t entry = 0;
  double arrival = 0;            ///< seconds since the start
  std::string message;           ///< of a failure
  std::unique_ptr<Frame> frame;  ///< when done; give it back with Pipeline::recycle
};

/// The work itself. Each is called by one thread at a time, with frames in the order of their arrival.
/// A rarefy::Error fails the frame and nothing else; Cancelled ends the stream; others end it and reach the caller.
struct Stages {
  std::function<void(Frame&)> read;     ///< fills scan and points; sets times.read
  std::function<void(Frame&)> prepare;  ///< makes geometry number frame.geometry
  std::function<void(Frame&)> infer;    ///< fills labels; sets the other times
};

struct PipelineOptions {
  double period_ms = 100;   ///< between two arrivals; 0: a frame arrives when there is place for it, none drops
  std::size_t entries = 0;  ///< scans that there are; played in order
  std::int64_t frames = 0;  ///< how many arrive; 0 = without end (the scans repeat)
  Drop drop = Drop::oldest;
  double deadline_ms = 0;  ///< after arrival; a frame that misses it before a stage is dropped unless `none`; 0 = none
  int geometries = 3;      ///< that frames share: one being made, one waiting, one in the network
};

/// Plays once.
class Pipeline {
 public:
  Pipeline(const PipelineOptions& options, Stages stages);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// The next outcome, waiting at most `patience` for it; nothing when there is none yet. Frames that are done come in
  /// order. @throws what a stage threw that is no rarefy::Error
  std::optional<Outcome> next(std::chrono::milliseconds patience);
  /// No outcome is left and none will come.
  bool finished();
  /// Ends the stream: stages finish what they are at, the rest is given up. Then `finished` becomes true.
  void stop();
  void recycle(std::unique_ptr<Frame> frame);
  /// Frames that had arrived and came to no end when the stream was stopped.
  std::int64_t given_up();
  Clock::time_point start() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rarefy::cli::stream
