#pragma once
/// What training and evaluation work on: points with features and training labels, one scan or a batch of scans.
#include <cstdint>
#include <span>
#include <vector>

#include "data/labels.h"
#include "data/scan.h"

namespace rarefy {

/// One scan with training labels. All vectors have one entry (xyz: three) per point.
struct Sample {
  std::vector<float> xyz;            ///< [N, 3] metres
  std::vector<float> intensity;      ///< [N] 0..1; zeros when the scan has none
  std::vector<std::uint8_t> labels;  ///< [N] training ids, kIgnored (255) = ignored
  bool has_intensity = true;         ///< false: the zeros mean "not known"

  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
  void reserve(std::int64_t points);
  /// Appends point `index` of `other`.
  void append(const Sample& other, std::int64_t index);
  /// Keeps the points for which keep(i) holds, in order.
  template <class Keep>
  void filter(Keep&& keep);
  friend bool operator==(const Sample&, const Sample&) = default;
};

/// Sample of a scan. A scan without labels gets kIgnored everywhere.
/// @throws UsageError when the scan's vectors disagree in size
Sample make_sample(const Scan& scan, const LabelMap& map);

/// Several samples one after the other, as graphs take them.
struct Batch {
  std::vector<float> xyz;                   ///< [P, 3]
  std::vector<float> intensity;             ///< [P]
  std::vector<std::uint8_t> labels;         ///< [P]
  std::vector<std::int64_t> sample_begin;   ///< [B+1] rows of sample b: sample_begin[b] .. sample_begin[b+1]
  std::vector<std::uint8_t> has_intensity;  ///< [B] 1 or 0
  std::int64_t samples() const { return static_cast<std::int64_t>(has_intensity.size()); }
  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

/// Joins samples; `batch` keeps its capacity. An empty list gives sample_begin = {0}.
void assemble_batch(std::span<const Sample> samples, Batch& batch);
void assemble_batch(std::span<const Sample* const> samples, Batch& batch);

template <class Keep>
void Sample::filter(Keep&& keep) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (!keep(static_cast<std::int64_t>(i))) continue;
    for (std::size_t axis = 0; axis < 3; ++axis) xyz[3 * kept + axis] = xyz[3 * i + axis];
    intensity[kept] = intensity[i];
    labels[kept] = labels[i];
    ++kept;
  }
  xyz.resize(3 * kept);
  intensity.resize(kept);
  labels.resize(kept);
}

}  // namespace rarefy
