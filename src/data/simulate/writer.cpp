#include <filesystem>
#include <mutex>

#include "base/check.h"
#include "base/file.h"
#include "data/simulate/simulate.h"

namespace rarefy {
namespace {

namespace fs = std::filesystem;

/// KITTI's camera looks along z, x to the right, y down. The simulated one sits at the sensor's origin.
constexpr const char* kCalibration = "Tr: 0 -1 0 0 0 0 -1 0 1 0 0 0\n";

/// Both files of a scan are there and have as many points: renames are atomic, so each is whole.
bool complete(const fs::path& points, const fs::path& labels) {
  std::error_code error;
  const auto a = fs::file_size(points, error);
  if (error) return false;
  const auto b = fs::file_size(labels, error);
  return !error && a > 0 && a % 16 == 0 && b == a / 4;
}

std::string describe(const SimulateOptions& o, std::int64_t street) {
  // frames is left out: a sequence may be continued with more of them only if the street is as long, so it counts too.
  return fmt::format(
      "{{\"simulator\": 2, \"seed\": {}, \"street\": {}, \"frames\": {}, \"frame_interval\": {}, \"kind\": \"{}\", "
      "\"rare_factor\": {}, \"without\": \"{}\"}}\n",
      o.seed, street, o.frames, o.frame_interval, street_kind_name(o.kind), o.rare_factor, realism_without(o.realism));
}

void check_record(const fs::path& path, const std::string& wanted) {
  if (!fs::exists(path)) return;
  const std::string found = read_text(path.string());
  RAREFY_CHECK(found == wanted, UsageError,
               "{}: made with other options: {} but asked for {}. Choose another folder, or remove this sequence.",
               path.string(), found.substr(0, found.find('\n')), wanted.substr(0, wanted.find('\n')));
}

/// Row of poses.txt: the camera's pose, Tr * pose * Tr^-1 with Tr the permutation above.
std::string camera_pose_line(const std::array<double, 12>& lidar) {
  constexpr int kAxis[3] = {1, 2, 0};
  constexpr double kSign[3] = {-1, -1, 1};
  std::string line;
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 4; ++c) {
      const double value = c < 3 ? kSign[r] * kSign[c] * lidar[static_cast<std::size_t>(kAxis[r] * 4 + kAxis[c])]
                                 : kSign[r] * lidar[static_cast<std::size_t>(kAxis[r] * 4 + 3)];
      line += fmt::format("{}{:.9e}", line.empty() ? "" : " ", value);
    }
  return line + "\n";
}

void write_scan(const Scan& scan, const fs::path& points, const fs::path& labels) {
  std::vector<float> rows;
  rows.reserve(static_cast<std::size_t>(scan.size()) * 4);
  for (std::size_t i = 0; i < scan.intensity.size(); ++i)
    rows.insert(rows.end(), {scan.xyz[3 * i], scan.xyz[3 * i + 1], scan.xyz[3 * i + 2], scan.intensity[i]});
  write_file_atomic(points.string(), bytes_of(rows));
  write_file_atomic(labels.string(), bytes_of(scan.labels));
}

class Writer {
 public:
  Writer(const SimulateOptions& options, const Progress& progress) : options_(options), progress_(progress) {}

  void sequence(std::int64_t index) {
    const std::int64_t number = options_.first_street + index;
    const fs::path folder = fs::path(options_.folder) / "sequences" / fmt::format("{:02}", number);
    const std::string record = describe(options_, number);
    check_record(folder / "street.json", record);
    make_directories((folder / "velodyne").string());
    make_directories((folder / "labels").string());
    write_file_atomic((folder / "street.json").string(), std::string_view(record));
    std::unique_ptr<Street> street;  // built when the first scan is missing
    auto need = [&]() -> const Street& {
      if (!street)
        street = std::make_unique<Street>(StreetOptions{options_.seed, number, options_.frames, options_.frame_interval,
                                                        options_.kind, options_.rare_factor, options_.realism});
      return *street;
    };
    for (std::int64_t frame = 0; frame < options_.frames; ++frame) {
      const fs::path points = folder / "velodyne" / fmt::format("{:06}.bin", frame);
      const fs::path labels = folder / "labels" / fmt::format("{:06}.label", frame);
      if (complete(points, labels)) {
        report(0, 1, 0);
        continue;
      }
      const Scan scan = need().scan(frame, serial_executor());
      write_scan(scan, points, labels);
      report(1, 0, scan.size());
    }
    if (!fs::exists(folder / "poses.txt") || !fs::exists(folder / "times.txt") || !fs::exists(folder / "calib.txt"))
      write_poses(folder, need());
  }
  SimulateResult result() const { return result_; }

 private:
  void write_poses(const fs::path& folder, const Street& street) const {
    std::string poses, times;
    for (std::int64_t frame = 0; frame < options_.frames; ++frame) {
      poses += camera_pose_line(street.pose(frame));
      times += fmt::format("{:.6e}\n", static_cast<double>(frame) * options_.frame_interval);
    }
    write_file_atomic((folder / "poses.txt").string(), std::string_view(poses));
    write_file_atomic((folder / "times.txt").string(), std::string_view(times));
    write_file_atomic((folder / "calib.txt").string(), std::string_view(kCalibration));
  }
  void report(std::int64_t written, std::int64_t skipped, std::int64_t points) {
    const std::lock_guard lock(mutex_);
    result_.written += written;
    result_.skipped += skipped;
    result_.points += points;
    if (progress_) progress_({"scans", result_.written + result_.skipped, options_.streets * options_.frames});
  }

  const SimulateOptions& options_;
  const Progress& progress_;
  std::mutex mutex_;
  SimulateResult result_;
};

}  // namespace

SimulateResult simulate_sequences(const SimulateOptions& options, Executor& executor, const Progress& progress) {
  RAREFY_CHECK(!options.folder.empty(), UsageError, "simulate: no output folder given");
  RAREFY_CHECK(options.streets >= 1 && options.first_street >= 0, UsageError,
               "simulate: needs at least one street and a first street >= 0, got {} and {}", options.streets,
               options.first_street);
  Writer writer(options, progress);
  executor.parallel_for(options.streets, [&](std::int64_t index, int) { writer.sequence(index); });
  return writer.result();
}

}  // namespace rarefy
