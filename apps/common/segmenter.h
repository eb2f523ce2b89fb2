#pragma once
/// A loaded model that labels scans.
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "common/command.h"
#include "data/labels.h"
#include "data/scan.h"
#include "rarefy/model.h"
#include "rarefy/session.h"

namespace rarefy::cli {

/// A model that labels points.
/// @throws IoError, InputError, and UnsupportedError when it has no pipeline, input 'points' or output 'labels'
Model load_segmenter(const std::string& path);

/// Rows of x, y, z, intensity; empty for a scan without intensity, whose points are seen where they lie.
void interleave(const Scan& scan, std::vector<float>& rows);
/// The scan as input of a model; `rows` is what interleave() made of it. Both must outlive the view.
PointView view_of(const Scan& scan, const std::vector<float>& rows);

/// How a model is compiled. @throws IoError and InputError for the tuning file
PlanOptions plan_of(const PlanChoice& choice);
/// The processor that a plan runs on, for records: the CPU's name, or the GPU's and the precision.
nlohmann::ordered_json machine_json(const PlanChoice& choice);

class Segmenter {
 public:
  /// @throws IoError, InputError, and UnsupportedError when the model does not label points
  Segmenter(const std::string& model_path, int threads, const PlanChoice& plan = {});

  /// Class index per point, 255 where there is none; valid until the next call.
  /// @param thinning  voxels that are left out ahead of the network
  /// @throws InputError when strict and a point is not finite or outside; Cancelled
  std::span<const std::uint8_t> run(const Scan& scan, bool strict, const Thinning& thinning = {});

  const std::string& path() const { return path_; }
  const Model& model() const { return model_; }
  const Pipeline& pipeline() const { return *model_.pipeline(); }
  const RunStatistics& statistics() const { return session_.statistics(); }
  const std::vector<StepProfile>& profile() const { return session_.profile(); }
  int threads() const { return threads_; }

  /// Raw id of a class; 0 for 255.
  std::uint32_t raw_id(std::uint8_t label) const;
  /// Class indices of raw labels by the model's label map, else by the classes' own ids; 255 = not scored.
  std::vector<std::uint8_t> class_indices(std::span<const std::uint32_t> raw) const;

 private:
  std::string path_;
  Model model_;
  int threads_;
  Session session_;
  std::vector<float> points_;
};

/// The label map that a pipeline names, or null when it names none. @throws UsageError for an unknown name
const LabelMap* label_map_of(const Pipeline& pipeline);

}  // namespace rarefy::cli
