#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "data/simulate/simulate.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

namespace fs = std::filesystem;

class SimulateWriter : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) /
            ("rarefy_simulate_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    options_.folder = root_.string();
    options_.first_street = 5;
    options_.streets = 2;
    options_.frames = 2;
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path points(const char* sequence, const char* frame) const {
    return root_ / "sequences" / sequence / "velodyne" / (std::string(frame) + ".bin");
  }
  fs::path labels(const char* sequence, const char* frame) const {
    return root_ / "sequences" / sequence / "labels" / (std::string(frame) + ".label");
  }

  fs::path root_;
  SimulateOptions options_;
};

TEST_F(SimulateWriter, writes_the_layout_and_resumes_with_the_same_bytes) {
  std::int64_t reports = 0, last = 0;
  const auto pool = make_thread_pool(2);
  const SimulateResult first = simulate_sequences(options_, *pool, [&](const ProgressReport& r) {
    ++reports;
    last = r.done;
    EXPECT_EQ(r.total, 4);
  });
  EXPECT_EQ(first.written, 4);
  EXPECT_EQ(first.skipped, 0);
  EXPECT_EQ(reports, 4);
  EXPECT_EQ(last, 4);
  const Bytes scan = read_file(points("05", "000001").string()), label = read_file(labels("06", "000000").string());
  EXPECT_EQ(fs::file_size(points("05", "000001")), 4 * fs::file_size(labels("05", "000001")));
  std::istringstream poses(read_text((root_ / "sequences/05/poses.txt").string()));
  std::string line;
  int lines = 0;
  for (; std::getline(poses, line); ++lines) {
    std::istringstream numbers(line);
    std::vector<double> values{std::istream_iterator<double>(numbers), {}};
    ASSERT_EQ(values.size(), 12u);
    EXPECT_EQ(values[11] > 0.1, lines == 1) << "forward is the z axis of the camera";
  }
  EXPECT_EQ(lines, 2);
  EXPECT_TRUE(fs::exists(root_ / "sequences/06/calib.txt"));
  EXPECT_TRUE(fs::exists(root_ / "sequences/06/times.txt"));

  EXPECT_EQ(simulate_sequences(options_, *pool, {}).skipped, 4);
  fs::remove(points("05", "000001"));
  fs::resize_file(labels("06", "000000"), 100);
  const SimulateResult resumed = simulate_sequences(options_, serial_executor(), {});
  EXPECT_EQ(resumed.written, 2);
  EXPECT_EQ(resumed.skipped, 2);
  EXPECT_TRUE(read_file(points("05", "000001").string()) == scan);
  EXPECT_TRUE(read_file(labels("06", "000000").string()) == label);
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root_)) files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, 2 * (2 * 2 + 4)) << "nothing temporary is left";
}

TEST_F(SimulateWriter, refuses_a_folder_made_with_other_options) {
  options_.streets = options_.frames = 1;
  simulate_sequences(options_, serial_executor(), {});
  options_.seed = 9;
  try {
    simulate_sequences(options_, serial_executor(), {});
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr("street.json"), testing::HasSubstr("\"seed\": 1"),
                               testing::HasSubstr("\"seed\": 9"), testing::HasSubstr("Choose another folder")));
  }
}

TEST_F(SimulateWriter, names_the_folder_that_cannot_be_made) {
  std::ofstream(root_.string()) << "a file";
  try {
    simulate_sequences(options_, serial_executor(), {});
    FAIL() << "accepted";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr(root_.string()));
  }
  options_.folder.clear();
  EXPECT_THROW(simulate_sequences(options_, serial_executor(), {}), UsageError);
}

}  // namespace
}  // namespace rarefy
