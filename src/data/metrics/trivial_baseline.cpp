#include "data/metrics/trivial_baseline.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "base/json_read.h"

namespace rarefy {
namespace {

constexpr const char* kFormat = "rarefy trivial baseline";
constexpr int kVersion = 1;
constexpr float kLowest = -4.0f, kHeightStep = 0.25f, kRangeStep = 2.5f;

int bin(float value, int bins) {
  return static_cast<int>(std::clamp(std::floor(value), 0.0f, static_cast<float>(bins - 1)));
}

/// Bin of a point, or -1 when it is not finite.
int bin_of(const float* xyz) {
  const float range = std::hypot(xyz[0], xyz[1]);
  if (!std::isfinite(range) || !std::isfinite(xyz[2])) return -1;
  return bin((xyz[2] - kLowest) / kHeightStep, TrivialBaseline::kHeights) * TrivialBaseline::kRanges +
         bin(range / kRangeStep, TrivialBaseline::kRanges);
}

/// The class with most points, or kIgnored when there are none.
std::uint8_t most_frequent(std::span<const std::int64_t> counts) {
  const auto best = std::max_element(counts.begin(), counts.end());
  return *best > 0 ? static_cast<std::uint8_t>(best - counts.begin()) : kIgnored;
}

}  // namespace

TrivialBaseline::TrivialBaseline(int classes) : classes_(classes) {
  RAREFY_CHECK(classes >= 1 && classes < kIgnored, UsageError, "trivial baseline: {} classes, expected 1 to 254",
               classes);
  counts_.assign(std::size_t{kHeights} * kRanges * static_cast<std::size_t>(classes), 0);
}

void TrivialBaseline::fit(const Sample& sample) {
  for (std::size_t i = 0; i < sample.labels.size(); ++i) {
    const int where = bin_of(&sample.xyz[3 * i]);
    if (where < 0 || sample.labels[i] == kIgnored) continue;
    RAREFY_CHECK(sample.labels[i] < classes_, UsageError, "trivial baseline: label {} of {} classes", sample.labels[i],
                 classes_);
    ++counts_[static_cast<std::size_t>(where) * static_cast<std::size_t>(classes_) + sample.labels[i]];
  }
}

void TrivialBaseline::predict(std::span<const float> xyz, std::span<std::uint8_t> predictions) const {
  RAREFY_CHECK(xyz.size() == 3 * predictions.size(), UsageError, "trivial baseline: {} coordinates for {} points",
               xyz.size(), predictions.size());
  const auto classes = static_cast<std::size_t>(classes_);
  std::vector<std::int64_t> all(classes, 0);
  for (std::size_t i = 0; i < counts_.size(); ++i) all[i % classes] += counts_[i];
  RAREFY_CHECK(most_frequent(all) != kIgnored, UsageError, "trivial baseline: it was not fit to any labelled point");
  std::vector<std::uint8_t> table;
  for (std::size_t h = 0; h < kHeights; ++h) {
    const std::span<const std::int64_t> row(&counts_[h * kRanges * classes], kRanges * classes);
    std::vector<std::int64_t> sums(classes, 0);
    for (std::size_t i = 0; i < row.size(); ++i) sums[i % classes] += row[i];
    std::uint8_t fallback = most_frequent(sums);
    if (fallback == kIgnored) fallback = most_frequent(all);
    for (std::size_t r = 0; r < kRanges; ++r) {
      const std::uint8_t own = most_frequent(row.subspan(r * classes, classes));
      table.push_back(own == kIgnored ? fallback : own);
    }
  }
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const int where = bin_of(&xyz[3 * i]);
    predictions[i] = where < 0 ? kIgnored : table[static_cast<std::size_t>(where)];
  }
}

std::string TrivialBaseline::to_json() const {
  return nlohmann::json{{"format", kFormat}, {"version", kVersion}, {"classes", classes_}, {"counts", counts_}}.dump();
}

TrivialBaseline TrivialBaseline::from_json(std::string_view text, const std::string& file) {
  try {
    const auto json = nlohmann::json::parse(text);
    RAREFY_CHECK(json.at("format") == kFormat, InputError, "{}: expected format '{}', found {}", file, kFormat,
                 json.at("format").dump());
    RAREFY_CHECK(json.at("version") == kVersion, InputError, "{}: version {}, expected {}", file,
                 json.at("version").dump(), kVersion);
    const int classes = read_integer<int>(json.at("classes"), file, "classes");
    RAREFY_CHECK(classes >= 1 && classes < kIgnored, InputError, "{}: {} classes, expected 1 to 254", file, classes);
    TrivialBaseline baseline(classes);
    auto counts = read_integers<std::int64_t>(json.at("counts"), file, "counts");
    RAREFY_CHECK(counts.size() == baseline.counts_.size() &&
                     std::all_of(counts.begin(), counts.end(), [](std::int64_t n) { return n >= 0; }),
                 InputError, "{}: {} counts, expected {} that are not negative", file, counts.size(),
                 baseline.counts_.size());
    baseline.counts_ = std::move(counts);
    return baseline;
  } catch (const nlohmann::json::exception& e) {
    fail<InputError>("{}: not a baseline file: {}", file, e.what());
  }
}

void TrivialBaseline::save(const std::string& path) const { write_file_atomic(path, std::string_view(to_json())); }

TrivialBaseline TrivialBaseline::load(const std::string& path) { return from_json(read_text(path), path); }

}  // namespace rarefy
