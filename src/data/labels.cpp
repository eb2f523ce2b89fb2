#include "data/labels.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace rarefy {
namespace {

/// Official id minus 1; negative: ignored.
struct Row {
  RawClass raw;
  int training;
};

// clang-format off
constexpr Row kRows[] = {
    {{0, "unlabeled", {0, 0, 0}}, -1},
    {{1, "outlier", {255, 0, 0}}, -1},
    {{10, "car", {100, 150, 245}}, 0},
    {{11, "bicycle", {100, 230, 245}}, 1},
    {{13, "bus", {100, 80, 250}}, 4},
    {{15, "motorcycle", {30, 60, 150}}, 2},
    {{16, "on-rails", {0, 0, 255}}, 4},
    {{18, "truck", {80, 30, 180}}, 3},
    {{20, "other-vehicle", {0, 0, 255}}, 4},
    {{30, "person", {255, 30, 30}}, 5},
    {{31, "bicyclist", {255, 40, 200}}, 6},
    {{32, "motorcyclist", {150, 30, 90}}, 7},
    {{40, "road", {255, 0, 255}}, 8},
    {{44, "parking", {255, 150, 255}}, 9},
    {{48, "sidewalk", {75, 0, 75}}, 10},
    {{49, "other-ground", {175, 0, 75}}, 11},
    {{50, "building", {255, 200, 0}}, 12},
    {{51, "fence", {255, 120, 50}}, 13},
    {{52, "other-structure", {255, 150, 0}}, -1},
    {{60, "lane-marking", {150, 255, 170}}, 8},
    {{70, "vegetation", {0, 175, 0}}, 14},
    {{71, "trunk", {135, 60, 0}}, 15},
    {{72, "terrain", {150, 240, 80}}, 16},
    {{80, "pole", {255, 240, 150}}, 17},
    {{81, "traffic-sign", {255, 0, 0}}, 18},
    {{99, "other-object", {50, 255, 255}}, -1},
    {{252, "moving-car", {100, 150, 245}}, 0},
    {{253, "moving-bicyclist", {255, 40, 200}}, 6},
    {{254, "moving-person", {255, 30, 30}}, 5},
    {{255, "moving-motorcyclist", {150, 30, 90}}, 7},
    {{256, "moving-on-rails", {0, 0, 255}}, 4},
    {{257, "moving-bus", {100, 80, 250}}, 4},
    {{258, "moving-truck", {80, 30, 180}}, 3},
    {{259, "moving-other-vehicle", {0, 0, 255}}, 4},
};
// clang-format on

/// The raw id that predictions of a class are written as (learning_map_inv of the same source).
constexpr std::uint16_t kInverse[] = {10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81};

}  // namespace

std::span<const RawClass> semantic_kitti_classes() {
  static const auto classes = [] {
    std::array<RawClass, std::size(kRows)> all{};
    std::transform(std::begin(kRows), std::end(kRows), all.begin(), [](const Row& row) { return row.raw; });
    return all;
  }();
  return classes;
}

const RawClass* find_raw_class(std::uint16_t id) {
  const auto classes = semantic_kitti_classes();
  const auto found = std::lower_bound(classes.begin(), classes.end(), id,
                                      [](const RawClass& c, std::uint16_t wanted) { return c.id < wanted; });
  return found != classes.end() && found->id == id ? &*found : nullptr;
}

LabelMap::LabelMap(std::string_view name, std::span<const std::uint16_t> also_ignored)
    : name_(name), training_of_raw_(260, kIgnored), raw_of_training_(std::begin(kInverse), std::end(kInverse)) {
  for (const Row& row : kRows) {
    const bool ignored =
        row.training < 0 || std::find(also_ignored.begin(), also_ignored.end(), row.raw.id) != also_ignored.end();
    if (!ignored) training_of_raw_[row.raw.id] = static_cast<std::uint8_t>(row.training);
  }
}

std::string_view LabelMap::class_name(std::uint8_t training) const { return find_raw_class(raw(training))->name; }

Rgb LabelMap::colour(std::uint8_t training) const { return find_raw_class(raw(training))->colour; }

std::int64_t LabelMap::to_training(std::span<const std::uint32_t> raw, std::span<std::uint8_t> training) const {
  RAREFY_CHECK(raw.size() == training.size(), UsageError, "label map {}: {} raw labels, room for {}", name_, raw.size(),
               training.size());
  std::int64_t unknown = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    training[i] = this->training(raw[i]);
    if (training[i] == kIgnored && find_raw_class(class_of(raw[i])) == nullptr) ++unknown;
  }
  return unknown;
}

std::int64_t LabelMap::to_raw(std::span<const std::uint8_t> training, std::span<std::uint32_t> raw) const {
  RAREFY_CHECK(raw.size() == training.size(), UsageError, "label map {}: {} training ids, room for {}", name_,
               training.size(), raw.size());
  std::int64_t unknown = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    raw[i] = this->raw(training[i]);
    if (training[i] != kIgnored && training[i] >= classes()) ++unknown;
  }
  return unknown;
}

std::span<const LabelMap> label_maps() {
  static constexpr std::uint16_t kIgnoredBySpvnas[] = {13, 16, 60, 256, 257};
  static const LabelMap maps[] = {LabelMap("semantic_kitti", {}), LabelMap("spvnas", kIgnoredBySpvnas)};
  return maps;
}

const LabelMap& label_map(std::string_view name) {
  std::string known;
  for (const LabelMap& map : label_maps()) {
    if (map.name() == name) return map;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", map.name());
  }
  fail<UsageError>("unknown label map '{}'; known are: {}", name, known);
}

}  // namespace rarefy
