#pragma once
/// A model: graph, weights and everything between raw input and result. See docs/model-file.md.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rarefy/graph.h"
#include "rarefy/weights.h"

namespace rarefy {

/// A feature of the network's input.
struct FeatureSpec {
  std::string name;     ///< "x", "y", "z", "intensity"
  std::string unit;     ///< "m", "1"
  double offset = 0.0;  ///< network sees (value - offset) * scale
  double scale = 1.0;
  double missing = 0.0;  ///< raw value when the scan has none (intensity only)
};

/// A class that the network tells apart; its training id is its position in Pipeline::classes.
struct ClassSpec {
  std::string name;
  std::int64_t raw_id = 0;              ///< id written to label files
  std::array<std::uint8_t, 3> color{};  ///< RGB
};

/// Everything between raw input and result. The API, the command line, training and evaluation read it from here only.
struct Pipeline {
  std::vector<double> voxel_size = {0.05, 0.05, 0.05};  ///< metres
  std::string rounding = "floor";
  std::vector<double> crop_min = {};  ///< metres; empty = none
  std::vector<double> crop_max = {};
  std::string reduction = "mean";
  std::vector<FeatureSpec> features;
  std::vector<ClassSpec> classes;
  std::string label_map;  ///< "semantic_kitti" (official) or "spvnas", or empty
};

/// Immutable once loaded; cheap to copy; shared between threads.
class RAREFY_API Model {
 public:
  Model() = default;
  Model(Graph graph, Weights weights, std::optional<Pipeline> pipeline = {})
      : graph_(std::move(graph)), weights_(std::move(weights)), pipeline_(std::move(pipeline)) {}
  /// @throws IoError, InputError (names file, position, what is wrong), UnsupportedError (newer version, unknown op).
  static Model load(const std::string& path, const OpSet& ops = OpSet::builtin());
  /// The same from memory; `name` stands for the file in messages.
  static Model parse(std::span<const std::uint8_t> bytes, const std::string& name, const OpSet& ops = OpSet::builtin());
  /// Writes to a temporary name, then renames. @throws IoError.
  void save(const std::string& path) const;
  std::vector<std::uint8_t> serialize() const;

  const Graph& graph() const { return graph_; }
  const Weights& weights() const { return weights_; }
  const std::optional<Pipeline>& pipeline() const { return pipeline_; }
  /// Free text pairs kept in the file ("description", "licence", "trained_on").
  std::map<std::string, std::string> notes;

 private:
  Graph graph_;
  Weights weights_;
  std::optional<Pipeline> pipeline_;
};

}  // namespace rarefy
