#include "stream/pacer.h"

#include <algorithm>

namespace rarefy::cli::stream {

Pacer::Decision Pacer::allow(double elapsed_ms) const {
  std::lock_guard lock(mutex_);
  Decision d;
  d.left_ms = deadline_ms_ - elapsed_ms;
  if (whole_.observed() == 0) return d;
  d.bound = Bound::deadline;
  d.most = whole_.voxels_within(d.left_ms);
  d.expected_ms = whole_.safe_ms(d.most);
  if (period_ms_ <= 0) return d;
  const std::int64_t in_turn = network_.voxels_within(period_ms_);
  if (in_turn >= d.most) return d;
  return {in_turn, period_ms_, network_.safe_ms(in_turn), Bound::rate};
}

void Pacer::observe(std::int64_t voxels, double geometry_ms, double network_ms) {
  std::lock_guard lock(mutex_);
  whole_.observe(voxels, geometry_ms + network_ms);
  network_.observe(voxels, network_ms);
}

double Pacer::least_ms() const {
  std::lock_guard lock(mutex_);
  return whole_.observed() == 0 ? 0 : whole_.least_ms();
}

}  // namespace rarefy::cli::stream
