#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "data/format_cases.h"
#include "data/formats/formats.h"
#include "data/formats/npy_array.h"
#include "data/sets/data_set.h"
#include "data/sets/semantic_kitti.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

class Sets : public ::testing::Test {
 protected:
  Sets() : root_(::testing::TempDir() + "rarefy_sets_" + std::to_string(::getpid())) {
    for (const char* name : {"00", "08"})
      for (int frame = 0; frame < 2; ++frame) write_frame(name, frame);
  }
  ~Sets() override { std::filesystem::remove_all(root_); }
  void write_frame(const std::string& name, int frame) const {
    const SequenceFolder folder = sequence_folder(root_, name);
    make_directories(folder.velodyne());
    make_directories(folder.labels());
    const Scan scan = test::small_scan(10 + frame, static_cast<std::uint64_t>(frame));
    save_scan(folder.scan(frame), scan);
    save_labels(folder.label(frame), scan.labels);
  }
  static std::vector<std::string> names(const ScanSource& source) {
    std::vector<std::string> all;
    for (const ScanEntry& entry : source.entries) all.push_back(entry.name);
    return all;
  }
  std::string root_;
};

TEST_F(Sets, semantic_kitti_lists_and_loads) {
  const ScanSource all = open_data_set(root_, "auto", {.labels = NeedLabels::yes});
  EXPECT_EQ(all.set, "semantic_kitti");
  EXPECT_THAT(names(all), ElementsAre("00/000000", "00/000001", "08/000000", "08/000001"));
  EXPECT_EQ(all.groups(), 2);
  EXPECT_EQ(all.load(1).size(), 11);
  EXPECT_EQ(all.load(1).labels, test::small_scan(11, 1).labels);
  const Sample sample = all.load_sample(0, label_map("semantic_kitti"));
  EXPECT_THAT(std::vector<std::uint8_t>(sample.labels.begin(), sample.labels.begin() + 3), ElementsAre(0, 8, 8));
  EXPECT_THROW(all.load(4), UsageError);
}

TEST_F(Sets, any_level_of_the_tree_and_chosen_sequences) {
  EXPECT_EQ(open_data_set(join_path(root_, "sequences")).size(), 4);
  EXPECT_THAT(names(open_data_set(join_path(root_, "sequences/08/"))), ElementsAre("08/000000", "08/000001"));
  EXPECT_THAT(names(open_data_set(root_, "semantic_kitti", {.sequences = {"08"}})),
              ElementsAre("08/000000", "08/000001"));
  EXPECT_THAT(message_of([&] { open_data_set(root_, "auto", {.sequences = {"05"}}); }),
              HasSubstr("no sequence '05'; there are: 00, 08"));
}

TEST_F(Sets, missing_and_wrong_labels_are_named) {
  std::filesystem::remove(sequence_folder(root_, "08").label(1));
  EXPECT_THAT(message_of([&] { open_data_set(root_, "auto", {.labels = NeedLabels::yes}); }),
              HasSubstr("08/labels/000001.label: missing: 1 of 2 scans of sequence 08 have no label file"));
  EXPECT_THAT(open_data_set(root_).load(3).labels, IsEmpty());
  std::filesystem::resize_file(sequence_folder(root_, "00").label(0), 36);
  EXPECT_THAT(message_of([&] { open_data_set(root_).load(0); }),
              HasSubstr("000000.label: 9 labels, but the scan has 10 points"));
}

TEST_F(Sets, plain_files_find_their_labels) {
  const std::string velodyne = sequence_folder(root_, "00").velodyne();
  const ScanSource folder = open_data_set(velodyne, "auto", {.labels = NeedLabels::yes});
  EXPECT_EQ(folder.set, "files");
  EXPECT_EQ(folder.load(0).labels.size(), 10u);
  const ScanSource one = open_data_set(velodyne + "/000001.bin");
  EXPECT_THAT(names(one), ElementsAre("000001.bin"));
  save_scan(join_path(root_, "lone.npy"), test::small_scan(3));
  EXPECT_THAT(message_of([&] { open_data_set(join_path(root_, "lone.npy"), "auto", {.labels = NeedLabels::yes}); }),
              HasSubstr("expected lone.label beside it"));
}

TEST_F(Sets, training_classes_in_npy) {
  const std::string folder = join_path(root_, "xyz");
  make_directories(folder);
  write_npy(folder + "/a_points_000001.npy",
            NpyArray::of<float>({3, 3}, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  write_npy(folder + "/a_labels_000001.npy", NpyArray::of<std::int32_t>({3, 1}, std::vector<std::int32_t>{0, 1, 19}));
  const ScanSource source = open_data_set(folder);
  EXPECT_EQ(source.set, "semantic_kitti_xyz");
  EXPECT_EQ(source.entries[0].group, "a");
  const Sample sample = source.load_sample(0, label_map("semantic_kitti"));
  EXPECT_THAT(sample.labels, ElementsAre(255, 0, 18));
  EXPECT_FALSE(sample.has_intensity);
  write_npy(folder + "/a_labels_000001.npy", NpyArray::of<std::int32_t>({3, 1}, std::vector<std::int32_t>{0, 1, 20}));
  EXPECT_THAT(message_of([&] { source.load(0); }), HasSubstr("element 2 is 20, expected a training class from 0"));
}

TEST_F(Sets, what_is_no_set_is_said) {
  EXPECT_THAT(message_of([&] { open_data_set(root_ + "/none"); }), HasSubstr("nothing is there"));
  make_directories(root_ + "/empty");
  EXPECT_THAT(message_of([&] { open_data_set(root_ + "/empty"); }),
              HasSubstr("looks like none of the known data sets: files ("));
  EXPECT_THAT(message_of([&] { open_data_set(root_, "nuimages"); }), HasSubstr("unknown data set 'nuimages'"));
}

TEST(Sequences, text_form) {
  EXPECT_THAT(parse_sequences("0-2,08,street"), ElementsAre("00", "01", "02", "08", "street"));
  EXPECT_THAT(parse_sequences(""), IsEmpty());
  EXPECT_THROW(parse_sequences("3-1"), UsageError);
}

TEST(RealSets, open) {
  const char* data = std::getenv("RAREFY_DATA");
  if (data == nullptr) GTEST_SKIP() << "needs real scans: set RAREFY_DATA";
  const ScanSource full = open_data_set(join_path(data, "lidar/semantickitti"), "auto", {.labels = NeedLabels::yes});
  ASSERT_EQ(full.size(), 1);
  EXPECT_EQ(full.load_sample(0, label_map("semantic_kitti")).size(), 124668);
  const ScanSource xyz = open_data_set(join_path(data, "lidar/semantickitti_xyz"), "auto", {.labels = NeedLabels::yes});
  EXPECT_EQ(xyz.size(), 4);
  EXPECT_EQ(xyz.groups(), 2);
  for (std::int64_t i = 0; i < xyz.size(); ++i) EXPECT_GT(xyz.load(i).size(), 85000);
}

}  // namespace
}  // namespace rarefy
