#include "stream/figures.h"

#include <algorithm>
#include <cmath>

namespace rarefy::cli::stream {

void Quantiles::add(double value) {
  const double bucket = std::ceil(std::log(std::max(value, kSmallest) / kSmallest) / std::log(kGrowth));
  ++counts_[std::min(kBuckets - 1, static_cast<std::size_t>(std::max(0.0, bucket)))];
  ++count_;
  sum_ += value;
  largest_ = std::max(largest_, value);
}

double Quantiles::at(double share) const {
  const auto wanted = std::max<std::int64_t>(1, std::llround(std::ceil(share * static_cast<double>(count_))));
  std::int64_t seen = 0;
  for (std::size_t b = 0; b < kBuckets; ++b) {
    seen += counts_[b];
    // The middle of the bucket, which lies below its border.
    if (seen >= wanted) return std::min(largest_, kSmallest * std::pow(kGrowth, static_cast<double>(b) - 0.5));
  }
  return 0;
}

std::int64_t Quantiles::between(double low, double high) const {
  std::int64_t sum = 0;
  for (std::size_t b = 0; b < kBuckets; ++b) {
    const double middle = kSmallest * std::pow(kGrowth, static_cast<double>(b) - 0.5);
    if (middle >= low && middle < high) sum += counts_[b];
  }
  return sum;
}

Bin& Series::at(double seconds) {
  while (seconds >= width_ * static_cast<double>(kMost)) {
    for (std::size_t i = 0; i < (bins_.size() + 1) / 2; ++i) {
      Bin both = bins_[2 * i];
      if (2 * i + 1 < bins_.size()) {
        const Bin& second = bins_[2 * i + 1];
        both.done += second.done;
        both.missed += second.missed;
        both.dropped += second.dropped;
        both.worst_ms = std::max(both.worst_ms, second.worst_ms);
        both.memory_mb = std::max(both.memory_mb, second.memory_mb);
      }
      bins_[i] = both;
    }
    bins_.resize((bins_.size() + 1) / 2);
    width_ *= 2;
  }
  const auto index = static_cast<std::size_t>(std::max(0.0, seconds) / width_);
  if (index >= bins_.size()) bins_.resize(index + 1);
  return bins_[index];
}

std::array<double, kParts.size()> parts_of(const FrameTimes& t) {
  return {t.read, t.wait(), t.voxelize, t.maps, t.network};
}

void Figures::add(const Outcome& outcome) {
  if (outcome.fate == Fate::failed) {
    ++failed_;
    return;
  }
  Bin& bin = series_.at(outcome.arrival);
  if (outcome.fate != Fate::done) {
    ++(outcome.fate == Fate::late ? late_ : no_place_);
    ++bin.dropped;
    return;
  }
  const FrameTimes& times = outcome.frame->times;
  const bool missed = deadline_ms_ > 0 && times.latency > deadline_ms_;
  missed_ += missed ? 1 : 0;
  bin.missed += missed ? 1 : 0;
  ++bin.done;
  bin.worst_ms = std::max(bin.worst_ms, times.latency);
  latency_.add(times.latency);
  const auto parts = parts_of(times);
  for (std::size_t p = 0; p < parts.size(); ++p) parts_[p].add(parts[p]);
  points_ += outcome.frame->scan.size();
  voxels_ += outcome.frame->voxels;
  voxels_left_out_ += outcome.frame->voxels_left_out;
  thinned_ += outcome.frame->voxels_left_out > 0 ? 1 : 0;
  macs_ += static_cast<double>(outcome.frame->macs);
}

Figures::Memory Figures::memory() const {
  Memory memory;
  const auto& bins = series_.bins();
  for (std::size_t b = bins.size() / 4; b < bins.size(); ++b) {
    double& most = 2 * b < bins.size() ? memory.before : memory.after;
    most = std::max(most, bins[b].memory_mb);
  }
  return memory;
}

}  // namespace rarefy::cli::stream
