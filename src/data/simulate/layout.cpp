#include "data/simulate/layout.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rarefy::sim {
namespace {
float between(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }
constexpr float kKerbWidth = 0.04f;
}  // namespace

Layout::Layout(StreetKind kind_in, float begin, float end, const Realism& realism_in, const Rng& rng)
    : kind(kind_in), realism(realism_in), s_begin(begin), s_end(end) {
  noise_seed_ = static_cast<std::uint32_t>(Rng(rng).bits());
  plan_centre_line(rng.fork(1));
  plan_strips(rng.fork(2));
  plan_side_streets(rng.fork(3));
  Rng surfaces = rng.fork(4);  // old asphalt, new slabs, wet lawns: streets differ
  for (float& factor : rho_factor_) factor = std::exp(0.16f * static_cast<float>(surfaces.normal()));
  relief_factor_ = std::exp(0.5f * static_cast<float>(surfaces.normal()));
}

float Layout::ground_relief(std::uint16_t raw) const {
  switch (raw) {
    case kRoad:
      return 0.007f * relief_factor_;
    case kTerrain:
      return 0.04f * relief_factor_;
    default:
      return 0.010f * relief_factor_;
  }
}

float Layout::ground_rho(std::uint16_t raw) const {
  switch (raw) {
    case kRoad:
      return 0.240f * rho_factor_[0];
    case kParking:
      return 0.31f * rho_factor_[1];
    case kSidewalk:
      return 0.37f * rho_factor_[2];
    case kOtherGround:
      return 0.35f * rho_factor_[3];
    default:
      return 0.42f * rho_factor_[4];
  }
}

/// How far the kerb of a side street recedes at its mouth: a quarter circle, which fades into the pavement beyond.
float Layout::flare(float s, float d) const {
  const float kerb = half_width + parking[d < 0 ? 1 : 0];
  for (const SideStreet& street : side_streets) {
    const float off = s - street.s, distance = std::abs(off);
    const float outer = street.half_width + street.sidewalk + 2 * street.corner;
    if (distance >= outer || street.sidewalk <= 0) continue;
    const float x = std::abs(d) - kerb;
    float size = 0;
    if (x >= 0 && x < street.corner) {
      const float rest = street.corner - x;
      size = street.corner - std::sqrt(std::max(0.0f, street.corner * street.corner - rest * rest));
    } else if (x < 0 && x > -1) {
      size = street.corner * (1 + x);
    }
    const float ramp =
        distance < street.half_width ? distance / street.half_width : (outer - distance) / (outer - street.half_width);
    return size * ramp * (off < 0 ? -1.0f : 1.0f);
  }
  return 0;
}

void Layout::plan_centre_line(Rng rng) {
  const bool fast = kind == StreetKind::highway;
  const float wavelength = between(rng, fast ? 400 : 150, fast ? 1200 : 500);
  // The curvature stays below 1 / 130 m, so that strips up to kExtent do not fold over.
  const float largest = wavelength / (2 * std::numbers::pi_v<float> * 130);
  float amplitude = std::min(largest, rng.chance(0.5) ? between(rng, 0, 0.08) : between(rng, 0.05, 0.5));
  const float phase = between(rng, 0, 2 * std::numbers::pi);
  slant_ = kind == StreetKind::urban || kind == StreetKind::residential ? between(rng, -0.25, 0.25) : 0;
  if (rng.chance(0.5)) slant_ = 0;
  if (!realism.street_variety) amplitude = slant_ = 0;
  grade_ = static_cast<float>(rng.normal()) * (fast ? 0.008f : 0.018f);
  hills_ = between(rng, 0.05, kind == StreetKind::country ? 0.9 : 0.4);
  camber_ = between(rng, 0.0, 0.03);
  const double profile = rng.uniform();
  profile_ = profile < 0.4 ? Profile::ridge : profile < 0.7 ? Profile::arch : Profile::one_sided;
  if (profile_ == Profile::one_sided && rng.chance(0.5)) camber_ = -camber_;
  const int samples = static_cast<int>(s_end - s_begin) + 2;
  Sample sample{s_begin, 0, 0};
  for (int i = 0; i < samples; ++i) {
    const float s = s_begin + static_cast<float>(i);
    sample.heading = amplitude * std::sin(2 * std::numbers::pi_v<float> * s / wavelength + phase);
    centre_.push_back(sample);
    sample.x += std::cos(sample.heading);
    sample.y += std::sin(sample.heading);
  }
}

void Layout::add(int side, float width, float level, std::uint16_t raw, float rough) {
  auto& list = strips[side];
  const float begin = list.empty() ? 0 : list.back().end;
  const float from = list.empty() ? 0 : list.back().level_end;
  if (std::abs(level - from) > 0.02f && raw != kTerrain) {  // a kerb: nearly vertical, belongs to what is higher
    list.push_back({begin, begin + kKerbWidth, from, level, level > from ? raw : list.back().raw, 0});
    list.push_back({begin + kKerbWidth, begin + width, level, level, raw, rough});
  } else {
    list.push_back({begin, begin + width, from, level, raw, rough});
  }
}

void Layout::plan_strips(Rng rng) {
  if (kind == StreetKind::highway)
    plan_highway(rng);
  else if (kind == StreetKind::country)
    plan_country(rng);
  else
    plan_town(rng);
  for (int side = 0; side < 2; ++side)
    if (strips[side].back().end < kExtent)
      add(side, kExtent - strips[side].back().end, strips[side].back().level_end, kTerrain, 0.15f);
}

void Layout::plan_highway(Rng& rng) {
  lanes = static_cast<int>(rng.integer(2, 3));
  lane_width = between(rng, 3.4, 3.8);
  median = between(rng, 0.8, 2.5);
  half_width = median + static_cast<float>(lanes) * lane_width + between(rng, 1.5, 3.5);
  ego_lane = -(median + 0.6f + (static_cast<float>(rng.integer(0, lanes - 1)) + 0.5f) * lane_width);
  ego_speed = between(rng, 20, 32);
  for (int side = 0; side < 2; ++side) {
    add(side, median, 0, rng.chance(0.6) ? kTerrain : kRoad, 0.05f);
    add(side, half_width - median, 0, kRoad);
    add(side, between(rng, 1.0, 3.0), -0.05f, kTerrain, 0.05f);
    walk_begin[side] = walk_end[side] = strips[side].back().end;
    const float rise = between(rng, -2.5, 3.5);
    add(side, between(rng, 5, 12), rise, kTerrain, 0.2f);
    front[side] = strips[side].back().end + 2;
  }
}

void Layout::plan_country(Rng& rng) {
  lane_width = between(rng, 2.5, 3.3);
  half_width = lane_width + (rng.chance(0.4) ? between(rng, 0.3, 1.2) : 0);
  ego_lane = -lane_width / 2;
  ego_speed = between(rng, 11, 22);
  for (int side = 0; side < 2; ++side) {
    add(side, half_width, 0, kRoad);
    const bool path = rng.chance(0.25);
    add(side, between(rng, 0.8, 2.5), -0.04f, kTerrain, 0.05f);
    if (path) {
      walk_begin[side] = strips[side].back().end;
      add(side, between(rng, 1.6, 2.6), 0.0f, kSidewalk);
      walk_end[side] = strips[side].back().end;
    } else {
      walk_begin[side] = walk_end[side] = strips[side].back().end;
    }
    if (rng.chance(0.5)) {  // a ditch
      add(side, between(rng, 0.8, 1.6), between(rng, -0.8, -0.3), kTerrain, 0.08f);
      add(side, between(rng, 0.8, 1.6), between(rng, -0.1, 0.3), kTerrain, 0.08f);
    }
    const float rise = rng.chance(0.4) ? between(rng, -2.5, 3.0) : between(rng, -0.5, 0.5);
    add(side, between(rng, 4, 10), rise, kTerrain, 0.25f);
    front[side] = strips[side].back().end + between(rng, 0, 6);
  }
}

void Layout::plan_town(Rng& rng) {
  const bool urban = kind == StreetKind::urban;
  alley = rng.chance(0.08) && realism.street_variety;
  lanes = urban && !alley && rng.chance(0.15) ? 2 : 1;
  lane_width = alley ? between(rng, 2.2, 2.8) : urban ? between(rng, 2.8, 3.5) : between(rng, 2.4, 3.2);
  half_width = lane_width * static_cast<float>(lanes);
  ego_lane = alley ? -0.4f : -lane_width * (static_cast<float>(rng.integer(0, lanes - 1)) + 0.5f);
  ego_speed = urban ? between(rng, 4, 13) : between(rng, 4, 10);
  const float kerb = rng.chance(0.15) ? 0.03f : between(rng, 0.05, 0.15);
  for (int side = 0; side < 2; ++side) plan_town_side(side, kerb, rng);
}

void Layout::plan_town_side(int side, float kerb, Rng& rng) {
  const bool urban = kind == StreetKind::urban;
  add(side, half_width, 0, kRoad);
  if (!alley && rng.chance((urban ? 0.42 : 0.25) - 0.12 * side)) {
    parking[side] = rng.chance(0.12) ? between(rng, 4.4, 5.2) : between(rng, 1.9, 2.4);
    const bool flush = rng.chance(0.6);
    add(side, parking[side], flush ? 0.0f : 0.05f, kParking);
  }
  float walk = alley ? between(rng, 0.8, 2.0) : urban ? between(rng, 2.4, 5.5) : between(rng, 1.8, 3.8);
  float verge = !alley && rng.chance(urban ? 0.25 : 0.3) ? between(rng, 1.0, 3.0) : 0.0f;
  // Walls and hedges right beside the sensor are the exception: there is room, paved or green.
  if (!alley) {
    const float used = strips[side].back().end + walk + verge;
    const float more = (side == 1 ? -ego_lane + between(rng, 6.0, 13.0) : ego_lane + between(rng, 6.5, 13.0)) - used;
    if (more > 0) (rng.chance(urban ? 0.35 : 0.6) ? verge : walk) += more;
  }
  if (verge > 0.4f) add(side, verge, kerb, rng.chance(0.92) ? kTerrain : kOtherGround, 0.03f);
  walk_begin[side] = strips[side].back().end;
  add(side, walk, kerb, kSidewalk);
  walk_end[side] = strips[side].back().end;
  const float yard = urban || alley ? (rng.chance(0.6) ? 0.0f : between(rng, 1, 6)) : between(rng, 2.0, 9.0);
  if (yard > 0) {
    const float draw = static_cast<float>(rng.uniform());
    const Raw raw = draw < 0.55f ? kTerrain : draw < 0.9f ? kSidewalk : draw < 0.95f ? kOtherGround : kParking;
    add(side, yard, kerb + (rng.chance(0.3) ? between(rng, -0.3, 0.9) : 0.03f), raw, 0.06f);
  }
  front[side] = strips[side].back().end;
}

void Layout::plan_side_streets(Rng rng) {
  if (kind == StreetKind::highway) return;
  const bool country = kind == StreetKind::country;
  float s = s_begin + between(rng, 10, country ? 250 : 90);
  while (s < s_end - 15) {
    side_streets.push_back({s, between(rng, 2.2, 4.0), country ? 0.0f : between(rng, 1.2, 2.5), between(rng, 1.5, 5)});
    s += between(rng, country ? 120 : 45, country ? 400 : 140);
  }
}

bool Layout::in_side_street(float s, float margin) const {
  return std::any_of(side_streets.begin(), side_streets.end(), [&](const SideStreet& street) {
    return std::abs(s - street.s) < street.half_width + street.sidewalk + margin;
  });
}

float Layout::kerb_factor(float s) const {
  float factor = 1;
  for (const SideStreet& street : side_streets)
    factor = std::min(factor, std::clamp((std::abs(s - street.s) - street.half_width) / kKerbWidth, 0.0f, 1.0f));
  return factor;
}

const Strip& Layout::strip(float d) const {
  const auto& list = strips[d < 0 ? 1 : 0];
  const float distance = std::abs(d);
  for (const Strip& strip : list)
    if (distance < strip.end) return strip;
  return list.back();
}

float Layout::level(float d) const {
  const Strip& at = strip(d);
  const float t = std::clamp((std::abs(d) - at.begin) / std::max(at.end - at.begin, 1e-3f), 0.0f, 1.0f);
  return at.level_begin + (at.level_end - at.level_begin) * t;
}

float Layout::cross_fall(float d) const {
  const float inside = std::clamp(d, -half_width, half_width);
  switch (profile_) {
    case Profile::ridge:
      return -camber_ * std::abs(inside);
    case Profile::arch:
      return -camber_ * inside * inside / half_width;
    default:
      return camber_ * inside;
  }
}

float Layout::height(float s, float d) const {
  if (!realism.rough_ground) return 0;
  const float hills = hills_ * (value_noise(s / 45, d / 45, 0, noise_seed_) - 0.5f);
  const float bumps = 0.04f * (value_noise(s / 7, d / 7, 3, noise_seed_) - 0.5f);
  const float rough = strip(d).rough * (value_noise(s / 2.5f, d / 2.5f, 7, noise_seed_) - 0.5f);
  return grade_ * s + hills + bumps + cross_fall(d) + kerb_factor(s) * (level(d) + rough);
}

Vec3 Layout::at(float s, float d) const {
  const float offset = std::clamp(s + flare(s, d) - s_begin, 0.0f, static_cast<float>(centre_.size()) - 1.001f);
  const auto i = static_cast<std::size_t>(offset);
  const float t = offset - static_cast<float>(i);
  const Sample &a = centre_[i], &b = centre_[i + 1];
  const float heading = a.heading + (b.heading - a.heading) * t;
  const float c = std::cos(heading), sn = std::sin(heading);
  const float lean = d * slant_;
  return {a.x + (b.x - a.x) * t + c * lean - sn * d, a.y + (b.y - a.y) * t + sn * lean + c * d, height(s, d)};
}

float Layout::yaw(float s) const {
  const float offset = std::clamp(s - s_begin, 0.0f, static_cast<float>(centre_.size()) - 1.0f);
  return centre_[static_cast<std::size_t>(offset)].heading;
}

namespace {

/// Positions of grid lines: every break, and between breaks at most `step(position)` apart.
template <class Step>
std::vector<float> grid_lines(std::vector<float> breaks, Step step) {
  std::sort(breaks.begin(), breaks.end());
  std::vector<float> lines;
  for (std::size_t i = 0; i + 1 < breaks.size(); ++i) {
    const float width = breaks[i + 1] - breaks[i];
    if (width < 1e-4f) continue;
    const int pieces = std::max(1, static_cast<int>(std::ceil(width / step(0.5f * (breaks[i] + breaks[i + 1])))));
    for (int k = 0; k < pieces; ++k)
      lines.push_back(breaks[i] + width * static_cast<float>(k) / static_cast<float>(pieces));
  }
  lines.push_back(breaks.back());
  return lines;
}

std::uint16_t cell_class(const Layout& layout, float s, float d) {
  const std::uint16_t raw = layout.strip(d).raw;
  if (raw == kRoad) return raw;
  for (const SideStreet& street : layout.side_streets) {
    const float distance = std::abs(s - street.s);
    if (distance < street.half_width) return kRoad;
    if (distance < street.half_width + street.sidewalk) return kSidewalk;
  }
  return raw;
}

}  // namespace

Ground make_ground(const Layout& layout) {
  std::vector<float> s_breaks{layout.s_begin, layout.s_end}, d_breaks{0};
  for (const SideStreet& street : layout.side_streets)
    for (const float sign : {-1.0f, 1.0f})
      for (const float r : {street.half_width, street.half_width + kKerbWidth, street.half_width + street.sidewalk})
        s_breaks.push_back(std::clamp(street.s + sign * r, layout.s_begin, layout.s_end));
  for (int side = 0; side < 2; ++side)
    for (const Strip& strip : layout.strips[side]) d_breaks.push_back(side == 0 ? strip.end : -strip.end);
  const auto s_lines = grid_lines(s_breaks, [](float) { return 1.6f; });
  const auto d_lines = grid_lines(d_breaks, [](float d) { return std::abs(d) < 20 ? 1.0f : 2.5f; });
  Ground ground;
  for (const float s : s_lines)
    for (const float d : d_lines) {
      ground.vertices.push_back(layout.at(s, d));
      ground.s.push_back(s);
      ground.d.push_back(d);
    }
  const auto columns = static_cast<std::uint32_t>(d_lines.size());
  for (std::uint32_t i = 0; i + 1 < s_lines.size(); ++i)
    for (std::uint32_t j = 0; j + 1 < columns; ++j) {
      const std::uint32_t a = i * columns + j, b = a + columns;
      ground.triangles.insert(ground.triangles.end(), {a, b, a + 1, a + 1, b, b + 1});
      const std::uint16_t raw =
          cell_class(layout, 0.5f * (s_lines[i] + s_lines[i + 1]), 0.5f * (d_lines[j] + d_lines[j + 1]));
      ground.raw.insert(ground.raw.end(), {raw, raw});
    }
  return ground;
}

}  // namespace rarefy::sim
