#pragma once
/// Classes of SemanticKITTI and the maps from raw ids to training ids.
/// Source: semantic-kitti.yaml of the SemanticKITTI development kit (its colours are BGR; here they are RGB).
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rarefy {

struct Rgb {
  std::uint8_t red = 0, green = 0, blue = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};

/// Training id of points that take no part in training and scores.
inline constexpr std::uint8_t kIgnored = 255;

/// Class (low 16 bits) and instance (high 16 bits) of a raw label.
constexpr std::uint16_t class_of(std::uint32_t raw) { return static_cast<std::uint16_t>(raw & 0xFFFFu); }
constexpr std::uint16_t instance_of(std::uint32_t raw) { return static_cast<std::uint16_t>(raw >> 16); }

/// One class as the data set names it.
struct RawClass {
  std::uint16_t id;
  std::string_view name;
  Rgb colour;
};

/// The 34 raw classes, by ascending id.
std::span<const RawClass> semantic_kitti_classes();
/// The raw class with that id, or null.
const RawClass* find_raw_class(std::uint16_t id);

/// From raw ids to the 19 training ids 0..18 (car, bicycle, motorcycle, truck, other-vehicle, person, bicyclist,
/// motorcyclist, road, parking, sidewalk, other-ground, building, fence, vegetation, trunk, terrain, pole,
/// traffic-sign) and back.
class LabelMap {
 public:
  std::string_view name() const { return name_; }
  int classes() const { return static_cast<int>(raw_of_training_.size()); }

  /// Training id, or kIgnored; instances are stripped. Ids that the data set does not define are ignored, too.
  std::uint8_t training(std::uint32_t raw) const {
    const std::uint16_t id = class_of(raw);
    return id < training_of_raw_.size() ? training_of_raw_[id] : kIgnored;
  }
  /// Raw id that stands for a training class; 0 (unlabelled) for kIgnored and whatever else is no class.
  std::uint16_t raw(std::uint8_t training) const {
    return training < raw_of_training_.size() ? raw_of_training_[training] : std::uint16_t{0};
  }
  std::string_view class_name(std::uint8_t training) const;  ///< "unlabeled" for what is no class
  Rgb colour(std::uint8_t training) const;                   ///< black for what is no class

  /// Maps many; returns how many had an id that the data set does not define.
  std::int64_t to_training(std::span<const std::uint32_t> raw, std::span<std::uint8_t> training) const;
  std::int64_t to_raw(std::span<const std::uint8_t> training, std::span<std::uint32_t> raw) const;

 private:
  friend std::span<const LabelMap> label_maps();
  LabelMap(std::string_view name, std::span<const std::uint16_t> also_ignored);
  std::string_view name_;
  std::vector<std::uint8_t> training_of_raw_;
  std::vector<std::uint16_t> raw_of_training_;
};

/// The known maps, named as in the pipeline record of a model file:
/// - "semantic_kitti": the official learning map, its id minus 1;
/// - "spvnas": as the spvnas code has it: bus, on-rails, lane-marking and their moving forms are ignored,
///   not counted as other-vehicle and road, so its mIoU is not exactly the official one.
std::span<const LabelMap> label_maps();
/// @throws UsageError listing the known names
const LabelMap& label_map(std::string_view name);

}  // namespace rarefy
