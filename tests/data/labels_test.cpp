#include "data/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/sample.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

using ::testing::ElementsAre;

/// learning_map of the SemanticKITTI development kit as published (0 = ignored).
const std::map<int, int> kOfficial = {{0, 0},   {1, 0},   {10, 1},  {11, 2},  {13, 5},  {15, 3},  {16, 5},
                                      {18, 4},  {20, 5},  {30, 6},  {31, 7},  {32, 8},  {40, 9},  {44, 10},
                                      {48, 11}, {49, 12}, {50, 13}, {51, 14}, {52, 0},  {60, 9},  {70, 15},
                                      {71, 16}, {72, 17}, {80, 18}, {81, 19}, {99, 0},  {252, 1}, {253, 7},
                                      {254, 6}, {255, 8}, {256, 5}, {257, 5}, {258, 4}, {259, 5}};

TEST(LabelMap, official_map_is_the_published_one_minus_one) {
  const LabelMap& map = label_map("semantic_kitti");
  ASSERT_EQ(semantic_kitti_classes().size(), kOfficial.size());
  for (const auto& [raw, id] : kOfficial) {
    EXPECT_EQ(map.training(static_cast<std::uint32_t>(raw)), id == 0 ? kIgnored : id - 1) << raw;
    EXPECT_NE(find_raw_class(static_cast<std::uint16_t>(raw)), nullptr) << raw;
  }
  EXPECT_EQ(map.classes(), 19);
  EXPECT_EQ(map.training(0xABCD0000u | 252), 0);  // instances do not matter
  EXPECT_EQ(map.training(7), kIgnored);
  EXPECT_EQ(map.training(65535), kIgnored);
}

TEST(LabelMap, spvnas_map_differs_in_five_raw_ids) {
  const LabelMap &official = label_map("semantic_kitti"), &spvnas = label_map("spvnas");
  std::vector<int> different;
  for (const RawClass& c : semantic_kitti_classes())
    if (official.training(c.id) != spvnas.training(c.id)) {
      different.push_back(c.id);
      EXPECT_EQ(spvnas.training(c.id), kIgnored);
    }
  EXPECT_THAT(different, ElementsAre(13, 16, 60, 256, 257));
}

TEST(LabelMap, names_colours_and_the_way_back) {
  for (const LabelMap& map : label_maps()) {
    for (int id = 0; id < map.classes(); ++id) {
      const auto training = static_cast<std::uint8_t>(id);
      EXPECT_EQ(map.training(map.raw(training)), training);
    }
    EXPECT_EQ(map.class_name(0), "car");
    EXPECT_EQ(map.class_name(8), "road");
    EXPECT_EQ(map.class_name(18), "traffic-sign");
    EXPECT_EQ(map.class_name(kIgnored), "unlabeled");
    EXPECT_EQ(map.raw(kIgnored), 0);
    EXPECT_EQ(map.colour(0), (Rgb{100, 150, 245}));  // BGR 245, 150, 100 in the source
    EXPECT_EQ(map.colour(14), (Rgb{0, 175, 0}));
  }
}

TEST(LabelMap, counts_unknown_ids) {
  const std::vector<std::uint32_t> raw = {40, 7, 0, 300};
  std::vector<std::uint8_t> training(4);
  EXPECT_EQ(label_map("semantic_kitti").to_training(raw, training), 2);
  EXPECT_THAT(training, ElementsAre(8, 255, 255, 255));
  std::vector<std::uint32_t> back(4);
  EXPECT_EQ(label_map("semantic_kitti").to_raw(training, back), 0);
  EXPECT_THAT(back, ElementsAre(40u, 0u, 0u, 0u));
}

TEST(LabelMap, unknown_name_lists_the_known) {
  try {
    label_map("cityscapes");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_STREQ(e.what(), "unknown label map 'cityscapes'; known are: semantic_kitti, spvnas");
  }
}

TEST(Sample, made_from_a_scan) {
  Scan scan;
  scan.xyz = {1, 2, 3, 4, 5, 6};
  Sample sample = make_sample(scan, label_map("semantic_kitti"));
  EXPECT_FALSE(sample.has_intensity);
  EXPECT_THAT(sample.intensity, ElementsAre(0.0f, 0.0f));
  EXPECT_THAT(sample.labels, ElementsAre(255, 255));
  scan.intensity = {0.5f, 0.25f};
  scan.labels = {40, 1};
  sample = make_sample(scan, label_map("semantic_kitti"));
  EXPECT_TRUE(sample.has_intensity);
  EXPECT_THAT(sample.labels, ElementsAre(8, 255));
  scan.labels.pop_back();
  EXPECT_THROW(make_sample(scan, label_map("semantic_kitti")), UsageError);
}

TEST(Sample, filter_and_append) {
  Sample a;
  a.xyz = {0, 0, 0, 1, 1, 1, 2, 2, 2};
  a.intensity = {0.0f, 0.1f, 0.2f};
  a.labels = {0, 1, 2};
  Sample b = a;
  b.filter([](std::int64_t i) { return i != 1; });
  EXPECT_THAT(b.labels, ElementsAre(0, 2));
  EXPECT_THAT(b.xyz, ElementsAre(0, 0, 0, 2, 2, 2));
  b.append(a, 1);
  EXPECT_THAT(b.labels, ElementsAre(0, 2, 1));
  EXPECT_THAT(b.intensity, ElementsAre(0.0f, 0.2f, 0.1f));
}

TEST(Sample, batches_have_offsets) {
  Sample a, b;
  a.xyz = {1, 2, 3};
  a.intensity = {0.5f};
  a.labels = {3};
  b.xyz = {4, 5, 6, 7, 8, 9};
  b.intensity = {0, 0};
  b.labels = {1, 255};
  b.has_intensity = false;
  Batch batch;
  assemble_batch(std::vector<Sample>{a, Sample{}, b}, batch);
  EXPECT_THAT(batch.sample_begin, ElementsAre(0, 1, 1, 3));
  EXPECT_THAT(batch.xyz, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(batch.labels, ElementsAre(3, 1, 255));
  EXPECT_THAT(batch.has_intensity, ElementsAre(1, 1, 0));
  assemble_batch(std::span<const Sample>(), batch);
  EXPECT_THAT(batch.sample_begin, ElementsAre(0));
  EXPECT_EQ(batch.size(), 0);
}

}  // namespace
}  // namespace rarefy
