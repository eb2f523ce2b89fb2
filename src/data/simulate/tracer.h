#pragma once
/// Nearest hit of a ray with a street, by Embree. Embree's own headers stay in tracer.cpp.
#include <cstdint>
#include <memory>

#include "data/simulate/geometry.h"
#include "data/simulate/layout.h"

namespace rarefy::sim {

struct Hit {
  enum class Kind : std::uint8_t { none, ground, mesh, foliage };
  Kind kind = Kind::none;
  float distance = 0;
  Vec3 normal;             ///< unit; either sign
  std::uint32_t part = 0;  ///< mesh and foliage: index into Mesh::parts
  std::uint16_t ground_raw = 0;
  float s = 0, d = 0;  ///< ground: street coordinates of the hit
};

/// An immutable scene. `trace` may be called from any number of threads.
class Tracer {
 public:
  /// Keeps references to `mesh` and, if given, `ground`: they must outlive the tracer.
  Tracer(const Mesh& mesh, const Ground* ground);
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// Nearest hit closer than `far`. Porous things draw from (`key`, `ray`): the same pair gives the same answer.
  Hit trace(Vec3 origin, Vec3 direction, float far, std::uint64_t key, std::uint32_t ray) const;

 private:
  struct Scene;
  std::unique_ptr<Scene> scene_;
};

}  // namespace rarefy::sim
