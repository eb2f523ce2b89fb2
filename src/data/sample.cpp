#include "data/sample.h"

#include "base/check.h"

namespace rarefy {

void Sample::reserve(std::int64_t points) {
  xyz.reserve(static_cast<std::size_t>(3 * points));
  intensity.reserve(static_cast<std::size_t>(points));
  labels.reserve(static_cast<std::size_t>(points));
}

void Sample::append(const Sample& other, std::int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  for (std::size_t axis = 0; axis < 3; ++axis) xyz.push_back(other.xyz[3 * i + axis]);
  intensity.push_back(other.intensity[i]);
  labels.push_back(other.labels[i]);
}

Sample make_sample(const Scan& scan, const LabelMap& map) {
  const auto points = static_cast<std::size_t>(scan.size());
  RAREFY_CHECK(scan.xyz.size() == 3 * points && (scan.intensity.empty() || scan.intensity.size() == points) &&
                   (scan.labels.empty() || scan.labels.size() == points),
               UsageError, "scan: {} coordinates, {} intensities, {} labels do not belong to one number of points",
               scan.xyz.size(), scan.intensity.size(), scan.labels.size());
  Sample sample;
  sample.xyz = scan.xyz;
  sample.intensity = scan.intensity;
  sample.has_intensity = !scan.intensity.empty() || points == 0;
  sample.intensity.resize(points, 0.0f);
  sample.labels.resize(points, kIgnored);
  if (!scan.labels.empty()) map.to_training(scan.labels, sample.labels);
  return sample;
}

void assemble_batch(std::span<const Sample* const> samples, Batch& batch) {
  batch.xyz.clear();
  batch.intensity.clear();
  batch.labels.clear();
  batch.has_intensity.clear();
  batch.sample_begin.assign(1, 0);
  for (const Sample* sample : samples) {
    batch.xyz.insert(batch.xyz.end(), sample->xyz.begin(), sample->xyz.end());
    batch.intensity.insert(batch.intensity.end(), sample->intensity.begin(), sample->intensity.end());
    batch.labels.insert(batch.labels.end(), sample->labels.begin(), sample->labels.end());
    batch.has_intensity.push_back(sample->has_intensity ? 1 : 0);
    batch.sample_begin.push_back(static_cast<std::int64_t>(batch.labels.size()));
  }
}

void assemble_batch(std::span<const Sample> samples, Batch& batch) {
  std::vector<const Sample*> pointers;
  pointers.reserve(samples.size());
  for (const Sample& sample : samples) pointers.push_back(&sample);
  assemble_batch(std::span<const Sample* const>(pointers), batch);
}

}  // namespace rarefy
