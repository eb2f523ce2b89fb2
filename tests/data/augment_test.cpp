#include "data/augment/augment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "data/format_cases.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

Sample random_sample(std::int64_t points, std::uint64_t seed) {
  Sample sample = make_sample(test::small_scan(points, seed), label_map("semantic_kitti"));
  Rng rng(seed, 1);
  for (std::uint8_t& label : sample.labels) label = static_cast<std::uint8_t>(rng.integer(0, 18));
  return sample;
}

double distance(const Sample& s, std::size_t a, std::size_t b) {
  double sum = 0.0;
  for (std::size_t axis = 0; axis < 3; ++axis)
    sum += std::pow(double(s.xyz[3 * a + axis]) - double(s.xyz[3 * b + axis]), 2);
  return std::sqrt(sum);
}

TEST(Augment, rotation_keeps_distances_height_and_undoes) {
  const Sample original = random_sample(200, 1);
  Sample turned = original;
  rotate_z(turned, 0.7);
  for (std::size_t i = 1; i < 200; ++i) {
    EXPECT_NEAR(distance(turned, 0, i), distance(original, 0, i), 1e-4);
    EXPECT_EQ(turned.xyz[3 * i + 2], original.xyz[3 * i + 2]);
  }
  rotate_z(turned, -0.7);
  for (std::size_t i = 0; i < 600; ++i) EXPECT_NEAR(turned.xyz[i], original.xyz[i], 2e-5);
  Sample quarter;
  quarter.xyz = {1, 0, 5};
  rotate_z(quarter, std::numbers::pi / 2);
  EXPECT_NEAR(quarter.xyz[1], 1.0f, 1e-6);  // x turns to y: counter-clockwise
}

TEST(Augment, flip_scale_translate_do_what_they_say) {
  Sample s = random_sample(50, 2);
  const Sample original = s;
  flip(s, 1);
  EXPECT_EQ(s.xyz[1], -original.xyz[1]);
  EXPECT_EQ(s.xyz[0], original.xyz[0]);
  flip(s, 1);
  EXPECT_EQ(s, original);
  EXPECT_THROW(flip(s, 2), UsageError);
  scale(s, 2.0f);
  EXPECT_EQ(s.xyz[5], 2.0f * original.xyz[5]);
  translate(s, 1.0f, 2.0f, 3.0f);
  EXPECT_EQ(s.xyz[5], 2.0f * original.xyz[5] + 3.0f);
}

TEST(Augment, jitter_has_the_stated_spread_and_bound) {
  Sample s;
  s.xyz.assign(300000, 0.0f);
  Rng rng(9);
  jitter(s, 0.5f, rng);
  double sum = 0.0, squares = 0.0, largest = 0.0;
  for (const float v : s.xyz) {
    sum += v;
    squares += double(v) * v;
    largest = std::max(largest, std::abs(double(v)));
  }
  EXPECT_NEAR(sum / 300000.0, 0.0, 0.005);
  EXPECT_NEAR(std::sqrt(squares / 300000.0), 0.5, 0.005);
  EXPECT_LE(largest, 3.5 * 0.5);
}

TEST(Augment, dropping_points_and_intensity) {
  const Sample original = random_sample(10000, 3);
  Sample s = original;
  Rng rng(4);
  drop_points(s, 0.3, rng);
  EXPECT_NEAR(static_cast<double>(s.size()), 7000.0, 200.0);
  EXPECT_EQ(s.xyz.size(), 3 * s.labels.size());
  drop_points(s, 0.0, rng);
  EXPECT_NEAR(static_cast<double>(s.size()), 7000.0, 200.0);
  drop_intensity(s);
  EXPECT_FALSE(s.has_intensity);
  EXPECT_EQ(*std::max_element(s.intensity.begin(), s.intensity.end()), 0.0f);
  Sample bright = original;
  scale_intensity(bright, 3.0f);
  EXPECT_EQ(*std::max_element(bright.intensity.begin(), bright.intensity.end()), 1.0f);
}

TEST(Augment, region_is_the_nearest_points) {
  const Sample original = random_sample(2000, 5);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Sample s = original;
    Rng rng(seed);
    keep_region(s, 300, rng);
    ASSERT_EQ(s.size(), 300);
  }
  Sample rare = original;
  for (std::uint8_t& label : rare.labels) label = 8;
  rare.labels[1234] = 7;
  Rng rng(1);
  keep_region(rare, 10, rng, {7}, 1.0);
  EXPECT_EQ(std::count(rare.labels.begin(), rare.labels.end(), 7), 1);
  // Nobody outside is nearer to the centre than somebody inside.
  const float x = original.xyz[3 * 1234], y = original.xyz[3 * 1234 + 1];
  const auto to_centre = [&](const Sample& s, std::size_t i) {
    return std::hypot(s.xyz[3 * i] - x, s.xyz[3 * i + 1] - y);
  };
  float furthest = 0.0f;
  for (std::size_t i = 0; i < 10; ++i) furthest = std::max(furthest, to_centre(rare, i));
  std::int64_t nearer = 0;
  for (std::size_t i = 0; i < 2000; ++i) nearer += to_centre(original, i) <= furthest;
  EXPECT_EQ(nearer, 10);
  Sample small = original;
  keep_region(small, 2000, rng);
  EXPECT_EQ(small, original);
  keep_region(small, 0, rng);
  EXPECT_EQ(small.size(), 0);
}

TEST(Augment, swapped_sectors_partition_the_two_scans) {
  Sample a = random_sample(1000, 6), b = random_sample(800, 7);
  std::fill(a.labels.begin(), a.labels.end(), 1);
  std::fill(b.labels.begin(), b.labels.end(), 2);
  Sample first = a, second = b;
  swap_sector(first, b, 5.0, 2.0);
  swap_sector(second, a, 5.0, 2.0);
  EXPECT_EQ(first.size() + second.size(), a.size() + b.size());
  for (std::size_t i = 0; i < first.labels.size(); ++i) {
    const double angle =
        std::fmod(std::atan2(double(first.xyz[3 * i + 1]), double(first.xyz[3 * i])) - 5.0 + 4 * std::numbers::pi,
                  2 * std::numbers::pi);
    EXPECT_EQ(first.labels[i], angle < 2.0 ? 2 : 1);
  }
  Sample all = a;
  swap_sector(all, b, 0.3, 2 * std::numbers::pi);
  EXPECT_EQ(all, b);
  b.has_intensity = false;
  swap_sector(first, b, 0.0, 1.0);
  EXPECT_FALSE(first.has_intensity);
  EXPECT_EQ(*std::max_element(first.intensity.begin(), first.intensity.end()), 0.0f);
}

TEST(Augment, paste_copies_only_the_classes_and_turns_them) {
  const Sample a = random_sample(100, 8), b = random_sample(100, 9);
  Sample s = a;
  rotate_paste(s, b, {5, 7}, {0.0, std::numbers::pi});
  const std::int64_t pasted = std::count_if(b.labels.begin(), b.labels.end(), [](int l) { return l == 5 || l == 7; });
  ASSERT_GT(pasted, 0);
  ASSERT_EQ(s.size(), a.size() + 2 * pasted);
  const auto half = static_cast<std::size_t>(pasted);
  for (std::size_t i = 0; i < half; ++i) {
    const std::size_t straight = 100 + i, turned = 100 + half + i;
    EXPECT_NEAR(s.xyz[3 * straight], -s.xyz[3 * turned], 1e-4);
    EXPECT_EQ(s.xyz[3 * straight + 2], s.xyz[3 * turned + 2]);
    EXPECT_EQ(s.labels[straight], s.labels[turned]);
  }
}

TEST(Augment, is_a_function_of_seed_epoch_and_sample) {
  const Sample a = random_sample(3000, 10), b = random_sample(3000, 11);
  AugmentOptions options;
  options.max_points = 2500;
  const Sample once = augment(a, &b, options, Rng(1, 2, 3));
  EXPECT_EQ(once, augment(a, &b, options, Rng(1, 2, 3)));
  EXPECT_NE(once, augment(a, &b, options, Rng(1, 3, 3)));
  EXPECT_NE(once, augment(a, &b, options, Rng(1, 2, 4)));
  EXPECT_LE(once.size(), 2500);
}

TEST(Augment, steps_do_not_disturb_each_other) {
  const Sample a = random_sample(500, 12);
  AugmentOptions options;
  options.drop_points = options.drop_intensity = options.intensity_scale = 0.0;
  AugmentOptions without_flips = options;
  without_flips.flip_x = without_flips.flip_y = 0.0;
  const Sample with = augment(a, nullptr, options, Rng(5)), without = augment(a, nullptr, without_flips, Rng(5));
  for (std::size_t i = 0; i < 500; ++i) EXPECT_EQ(with.xyz[3 * i + 2], without.xyz[3 * i + 2]);
}

TEST(Augment, jitter_differs_from_scan_to_scan_up_to_its_limit) {
  Sample still;
  still.xyz.assign(3000, 0.0f);
  still.intensity.assign(1000, 0.0f);
  still.labels.assign(1000, 0);
  AugmentOptions options;
  options.translate = options.rotate_paste = options.swap_sector = options.drop_points = 0.0;
  options.jitter = 0.1;
  double smallest = 1.0, largest = 0.0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Sample moved = augment(still, nullptr, options, Rng(seed));
    double squares = 0.0;
    for (const float v : moved.xyz) squares += double(v) * v;
    const double sigma = std::sqrt(squares / 3000.0);
    smallest = std::min(smallest, sigma);
    largest = std::max(largest, sigma);
  }
  EXPECT_LT(smallest, 0.03);
  EXPECT_GT(largest, 0.07);
  EXPECT_LT(largest, 0.11);
}

TEST(Augment, everything_off_is_the_identity) {
  const Sample a = random_sample(500, 13), b = random_sample(500, 14);
  AugmentOptions off;
  off.rotate = off.flip_x = off.flip_y = off.translate = off.jitter = off.drop_points = off.drop_intensity = 0.0;
  off.intensity_scale = off.swap_sector = off.rotate_paste = 0.0;
  off.scale_min = off.scale_max = 1.0;
  EXPECT_EQ(augment(a, &b, off, Rng(1)), a);
}

TEST(Augment, empty_and_not_finite_pass) {
  AugmentOptions options;
  options.max_points = 5;
  options.swap_sector = options.rotate_paste = 1.0;
  EXPECT_EQ(augment(Sample{}, nullptr, options, Rng(1)).size(), 0);
  Sample s = random_sample(20, 15);
  for (std::size_t i = 0; i < 60; ++i) s.xyz[i] = std::nanf("");
  EXPECT_LE(augment(s, &s, options, Rng(1)).size(), 5);
}

}  // namespace
}  // namespace rarefy
