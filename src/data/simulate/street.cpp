#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "data/simulate/layout.h"
#include "data/simulate/populate.h"
#include "data/simulate/sensor.h"
#include "data/simulate/simulate.h"
#include "data/simulate/tracer.h"

namespace rarefy {
namespace {

constexpr float kView = 88;  ///< metres of street before the first and beyond the last viewpoint
constexpr std::array<std::string_view, 5> kKindNames{"mixed", "residential", "urban", "country", "highway"};

void check(const StreetOptions& o) {
  RAREFY_CHECK(o.street >= 0, UsageError, "simulate: street index must be >= 0, is {}", o.street);
  RAREFY_CHECK(o.frames >= 1 && o.frames <= 4000, UsageError, "simulate: frames must be 1..4000, is {}", o.frames);
  RAREFY_CHECK(o.frame_interval >= 0.01 && o.frame_interval <= 60, UsageError,
               "simulate: frame interval must be 0.01..60 s, is {}", o.frame_interval);
  RAREFY_CHECK(o.rare_factor >= 0 && o.rare_factor <= 20, UsageError, "simulate: rare factor must be 0..20, is {}",
               o.rare_factor);
  const double travel = static_cast<double>(o.frames - 1) * o.frame_interval * 32;
  RAREFY_CHECK(
      travel <= 20000, UsageError,
      "simulate: {} frames every {} s could need {:.0f} m of street, more than 20 km; make several streets instead",
      o.frames, o.frame_interval, travel);
}

StreetKind choose_kind(StreetKind wanted, Rng rng) {
  if (wanted != StreetKind::mixed) return wanted;
  const double draw = rng.uniform();
  if (draw < 0.61) return StreetKind::residential;
  if (draw < 0.79) return StreetKind::urban;
  return draw < 0.95 ? StreetKind::country : StreetKind::highway;
}

sim::Layout make_layout(const StreetOptions& o, const Rng& rng) {
  const StreetKind kind = o.realism.street_variety ? choose_kind(o.kind, rng.fork(1)) : StreetKind::residential;
  // The ego speed is known only with the layout; it never depends on the length, so a short one tells it.
  const float speed = sim::Layout(kind, -10, 10, o.realism, rng.fork(2)).ego_speed;
  const float travel = speed * static_cast<float>(static_cast<double>(o.frames - 1) * o.frame_interval);
  return sim::Layout(kind, -kView, kView + travel, o.realism, rng.fork(2));
}

}  // namespace

struct Street::World {
  StreetOptions options;
  Rng rng;
  sim::Layout layout;
  sim::Ground ground;
  sim::Population population;
  sim::Tracer tracer;
  sim::Sensor sensor;
  float wander_phase, wander_size, standing_pitch;

  explicit World(const StreetOptions& o)
      : options(o),
        rng(o.seed, static_cast<std::uint64_t>(o.street), 0x57EE7),
        layout(make_layout(o, rng)),
        ground(sim::make_ground(layout)),
        population(sim::populate(layout, o.rare_factor, rng.fork(3))),
        tracer(population.mesh, &ground),
        sensor(rng.fork(4), o.realism) {
    Rng more = rng.fork(5);
    wander_phase = static_cast<float>(more.uniform(0, 6.28));
    wander_size = static_cast<float>(more.uniform(0.05, 0.4));
  }
  float s_at(double time) const { return layout.ego_speed * static_cast<float>(time); }
  sim::Pose pose_at(double time) const {
    const float s = s_at(time);
    auto lateral = [&](float at) { return layout.ego_lane + wander_size * std::sin(at * 0.07f + wander_phase); };
    // The car stands on the ground under its axles.
    const sim::Vec3 front = layout.at(s + 1.3f, lateral(s + 1.3f)), back = layout.at(s - 1.3f, lateral(s - 1.3f));
    const sim::Vec3 forward = front - back;
    const sim::Vec3 left = layout.at(s, lateral(s) + 0.8f), right = layout.at(s, lateral(s) - 0.8f);
    const float yaw = std::atan2(forward.y, forward.x);
    const float pitch = std::atan2(forward.z, std::hypot(forward.x, forward.y)) + sensor.pitch;
    const float roll = std::atan2(left.z - right.z, 1.6f) + sensor.roll;
    sim::Vec3 origin = (front + back) * 0.5f;
    origin.z += sensor.height;
    return sim::make_pose(origin, yaw, pitch, roll);
  }
  void check_frame(std::int64_t frame) const {
    RAREFY_CHECK(frame >= 0 && frame < options.frames, UsageError, "simulate: frame {} asked for, the street has 0..{}",
                 frame, options.frames - 1);
  }
  double time_of(std::int64_t frame) const { return static_cast<double>(frame) * options.frame_interval; }
};

Street::Street(const StreetOptions& options) {
  check(options);
  world_ = std::make_unique<World>(options);
}
Street::~Street() = default;
Street::Street(Street&&) noexcept = default;
Street& Street::operator=(Street&&) noexcept = default;

std::int64_t Street::frames() const { return world_->options.frames; }
StreetKind Street::kind() const { return world_->layout.kind; }

Scan Street::scan(std::int64_t frame, Executor& executor) const {
  const World& world = *world_;
  world.check_frame(frame);
  const double time = world.time_of(frame);
  const sim::Pose pose = world.pose_at(time);
  sim::Mesh moving;
  for (const sim::Mover& mover : world.population.movers) {
    const float s = mover.s + mover.vs * static_cast<float>(time);
    if (std::abs(s - world.s_at(time)) < kView) sim::add_mover(moving, mover, world.layout, static_cast<float>(time));
  }
  std::unique_ptr<sim::Tracer> moving_tracer;
  if (!moving.triangle_part.empty()) moving_tracer = std::make_unique<sim::Tracer>(moving, nullptr);
  const sim::Vec3 ahead = world.pose_at(time + 0.05).origin, behind = world.pose_at(time - 0.05).origin;
  const sim::View view{world.tracer,
                       moving_tracer.get(),
                       world.population.mesh.parts,
                       &moving.parts,
                       world.layout,
                       pose,
                       (ahead - behind) * 10.0f,
                       mix64(world.rng.fork(6).fork(static_cast<std::uint64_t>(frame)).bits())};
  return sim::sweep(world.sensor, view, executor);
}

std::array<double, 12> Street::pose(std::int64_t frame) const {
  world_->check_frame(frame);
  const sim::Pose first = world_->pose_at(0), now = world_->pose_at(world_->time_of(frame));
  const sim::Vec3 t = first.unrotate(now.origin - first.origin);
  std::array<double, 12> out{};
  for (int column = 0; column < 3; ++column) {
    const sim::Vec3 axis = first.unrotate(now.axis[static_cast<std::size_t>(column)]);
    out[static_cast<std::size_t>(column)] = axis.x;
    out[static_cast<std::size_t>(4 + column)] = axis.y;
    out[static_cast<std::size_t>(8 + column)] = axis.z;
  }
  out[3] = t.x;
  out[7] = t.y;
  out[11] = t.z;
  return out;
}

namespace {
/// Every switch with its name.
template <class AnyRealism>
auto switches(AnyRealism& r) {
  using Entry = std::pair<std::string_view, decltype(&r.clutter)>;
  return std::array<Entry, 9>{{{"porous_vegetation", &r.porous_vegetation},
                               {"rough_ground", &r.rough_ground},
                               {"building_detail", &r.building_detail},
                               {"mixed_pixels", &r.mixed_pixels},
                               {"drop_out", &r.drop_out},
                               {"intensity_model", &r.intensity_model},
                               {"sensor_variation", &r.sensor_variation},
                               {"clutter", &r.clutter},
                               {"street_variety", &r.street_variety}}};
}
}  // namespace

std::string realism_without(const Realism& realism) {
  std::vector<std::string_view> off;
  for (const auto& [name, on] : switches(realism))
    if (!*on) off.push_back(name);
  return fmt::format("{}", fmt::join(off, ","));
}

Realism realism_from_without(std::string_view names) {
  Realism realism;
  const auto all = switches(realism);
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& entry) { return entry.first == name; });
    if (found == all.end()) {
      std::vector<std::string_view> known;
      for (const auto& entry : all) known.push_back(entry.first);
      fail<UsageError>("simulate: no realism feature '{}' to leave out; there are {}", name, fmt::join(known, ", "));
    }
    *found->second = false;
  }
  return realism;
}

std::string_view street_kind_name(StreetKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }

StreetKind street_kind_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kKindNames.size(); ++i)
    if (kKindNames[i] == name) return static_cast<StreetKind>(i);
  fail<UsageError>("simulate: no street kind '{}'; there are {}", name, fmt::join(kKindNames, ", "));
}

}  // namespace rarefy
