#include "data/simulate/tracer.h"

#include <embree3/rtcore.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/rng.h"

namespace rarefy::sim {
namespace {

/// What Embree hands to our callbacks: its context first, so that the pointer can be cast back.
struct Context {
  RTCIntersectContext embree;
  std::uint64_t key;
};

/// A short sequence of random numbers for one ray and one primitive.
class RaySequence {
 public:
  RaySequence(std::uint64_t key, std::uint32_t ray, std::uint32_t primitive)
      : state_(mix64(key ^ (std::uint64_t{ray} << 32 | primitive))) {}
  float next() {
    state_ += 0x9E3779B97F4A7C15ull;
    std::uint64_t z = (state_ ^ (state_ >> 32)) * 0xD6E8FEB86659FD93ull;
    z ^= z >> 32;
    return static_cast<float>(z >> 40) * 0x1.0p-24f;
  }

 private:
  std::uint64_t state_;
};

struct Span {
  float begin, end;
};

/// Part of the ray inside the blob's hull; empty when begin >= end. Works in the blob's frame, scaled to a unit sphere
/// or cube.
Span hull(const Blob& blob, Vec3 o, Vec3 w) {
  if (blob.box) {
    Span span{-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
    for (const auto& [p, v] : {std::pair{o.x, w.x}, std::pair{o.y, w.y}, std::pair{o.z, w.z}}) {
      const float inverse = 1.0f / (std::abs(v) < 1e-9f ? 1e-9f : v);
      const float a = (-1 - p) * inverse, b = (1 - p) * inverse;
      span.begin = std::max(span.begin, std::min(a, b));
      span.end = std::min(span.end, std::max(a, b));
    }
    return span;
  }
  const float a = dot(w, w), b = dot(o, w), c = dot(o, o) - 1;
  const float root = b * b - a * c;
  if (root <= 0) return {1, 0};
  const float q = std::sqrt(root);
  return {(-b - q) / a, (-b + q) / a};
}

Vec3 to_blob(const Blob& blob, Vec3 v) {
  return {(blob.cosine * v.x + blob.sine * v.y) / blob.radius.x, (-blob.sine * v.x + blob.cosine * v.y) / blob.radius.y,
          v.z / blob.radius.z};
}

/// Share of the full density at a place: clusters of leaves with gaps between them (thresholded noise), thinner at the
/// rim.
float leaf_density(const Blob& blob, Vec3 p, float rim, std::uint32_t seed) {
  const float inverse = 1.0f / blob.grain;
  const float noise = value_noise(p.x * inverse, p.y * inverse, p.z * inverse, seed);
  float threshold = 0.12f + 0.55f * blob.gap;
  if (!blob.box) {  // the outline bulges and recedes: no plant is an ellipsoid
    const float bulge = value_noise(p.x * 0.45f * inverse, p.y * 0.45f * inverse, p.z * 0.45f * inverse, seed + 1);
    threshold += 1.6f * std::max(0.0f, rim - 0.45f - 0.7f * bulge);
  }
  return std::clamp((noise - threshold) * 6.0f, 0.0f, 1.0f);
}

/// Free path through a blob by delta tracking (Woodcock 1965): unbiased for any density that varies in space.
void intersect_blob(const RTCIntersectFunctionNArguments* args) {
  if (args->valid[0] == 0) return;
  const Blob& blob = static_cast<const Blob*>(args->geometryUserPtr)[args->primID];
  auto& rayhit = *reinterpret_cast<RTCRayHit*>(args->rayhit);
  RTCRay& ray = rayhit.ray;
  const Vec3 origin{ray.org_x, ray.org_y, ray.org_z}, direction{ray.dir_x, ray.dir_y, ray.dir_z};
  const Vec3 o = to_blob(blob, origin - blob.center), w = to_blob(blob, direction);
  const Span span = hull(blob, o, w);
  if (span.begin >= span.end || span.end <= ray.tnear || span.begin >= ray.tfar) return;
  RaySequence random(reinterpret_cast<const Context*>(args->context)->key, ray.id, args->primID);
  float t = std::max(span.begin, ray.tnear);
  const float mean_step = 1.0f / blob.density;
  for (;;) {
    t -= std::log(1.0f - random.next()) * mean_step;
    if (t >= span.end || t >= ray.tfar) return;
    const Vec3 local = o + w * t;
    if (random.next() < leaf_density(blob, origin + direction * t, norm(local), 17u)) break;
  }
  ray.tfar = t;
  // Leaves point anywhere: the sensor model draws their angle itself.
  rayhit.hit.Ng_x = -direction.x;
  rayhit.hit.Ng_y = -direction.y;
  rayhit.hit.Ng_z = -direction.z;
  rayhit.hit.u = rayhit.hit.v = 0;
  rayhit.hit.primID = args->primID;
  rayhit.hit.geomID = args->geomID;
  rayhit.hit.instID[0] = args->context->instID[0];
}

void blob_bounds(const RTCBoundsFunctionArguments* args) {
  const Blob& blob = static_cast<const Blob*>(args->geometryUserPtr)[args->primID];
  const float x = std::abs(blob.cosine) * blob.radius.x + std::abs(blob.sine) * blob.radius.y;
  const float y = std::abs(blob.sine) * blob.radius.x + std::abs(blob.cosine) * blob.radius.y;
  *args->bounds_o = {blob.center.x - x, blob.center.y - y, blob.center.z - blob.radius.z, 0,
                     blob.center.x + x, blob.center.y + y, blob.center.z + blob.radius.z, 0};
}

/// A porous triangle with the porosity of its part.
struct Porous {
  std::uint32_t triangle;
  float porosity;
};

void pass_through(const RTCFilterFunctionNArguments* args) {
  if (args->valid[0] == 0) return;
  const auto* porous = static_cast<const Porous*>(args->geometryUserPtr);
  const auto* ray = reinterpret_cast<const RTCRay*>(args->ray);
  const std::uint32_t primitive = RTCHitN_primID(args->hit, args->N, 0);
  RaySequence random(reinterpret_cast<const Context*>(args->context)->key, ray->id, primitive ^ 0x80000000u);
  if (random.next() < porous[primitive].porosity) args->valid[0] = 0;
}

enum Geometry : unsigned { kGround, kSolid, kPorous, kBlobs };

}  // namespace

struct Tracer::Scene {
  const Mesh& mesh;
  const Ground* ground;
  RTCDevice device = nullptr;
  RTCScene scene = nullptr;
  std::vector<std::uint32_t> solid;  ///< triangle of each primitive
  std::vector<Porous> porous;

  Scene(const Mesh& mesh_in, const Ground* ground_in) : mesh(mesh_in), ground(ground_in) {}
  ~Scene() {
    if (scene != nullptr) rtcReleaseScene(scene);
    if (device != nullptr) rtcReleaseDevice(device);
  }
  void attach(RTCGeometry geometry, unsigned id) {
    rtcCommitGeometry(geometry);
    rtcAttachGeometryByID(scene, geometry, id);
    rtcReleaseGeometry(geometry);
  }
  RTCGeometry triangles(const std::vector<Vec3>& vertices, const std::vector<std::uint32_t>& indices) {
    RTCGeometry geometry = rtcNewGeometry(device, RTC_GEOMETRY_TYPE_TRIANGLE);
    auto* v = static_cast<Vec3*>(rtcSetNewGeometryBuffer(geometry, RTC_BUFFER_TYPE_VERTEX, 0, RTC_FORMAT_FLOAT3,
                                                         sizeof(Vec3), std::max<std::size_t>(vertices.size(), 1)));
    auto* i = static_cast<std::uint32_t*>(rtcSetNewGeometryBuffer(geometry, RTC_BUFFER_TYPE_INDEX, 0, RTC_FORMAT_UINT3,
                                                                  3 * sizeof(std::uint32_t), indices.size() / 3));
    if (v == nullptr || i == nullptr) throw std::bad_alloc();
    std::copy(vertices.begin(), vertices.end(), v);
    std::copy(indices.begin(), indices.end(), i);
    return geometry;
  }
  void build();
};

void Tracer::Scene::build() {
  // One thread: threads belong to the caller, who builds several streets side by side.
  device = rtcNewDevice("threads=1,set_affinity=0");
  RAREFY_CHECK(device != nullptr, UnsupportedError,
               "simulate: Embree refuses to start (error {}); it needs SSE2 at least",
               static_cast<int>(rtcGetDeviceError(nullptr)));
  scene = rtcNewScene(device);
  std::vector<std::uint32_t> solid_indices, porous_indices;
  for (std::uint32_t t = 0; t < mesh.triangle_part.size(); ++t) {
    const Part& part = mesh.parts[mesh.triangle_part[t]];
    auto& indices = part.porosity > 0 ? porous_indices : solid_indices;
    indices.insert(indices.end(), mesh.triangles.begin() + 3 * t, mesh.triangles.begin() + 3 * t + 3);
    if (part.porosity > 0)
      porous.push_back({t, part.porosity});
    else
      solid.push_back(t);
  }
  if (ground != nullptr) attach(triangles(ground->vertices, ground->triangles), kGround);
  if (!solid.empty()) attach(triangles(mesh.vertices, solid_indices), kSolid);
  if (!porous.empty()) {
    RTCGeometry geometry = triangles(mesh.vertices, porous_indices);
    rtcSetGeometryUserData(geometry, porous.data());
    rtcSetGeometryIntersectFilterFunction(geometry, pass_through);
    attach(geometry, kPorous);
  }
  if (!mesh.blobs.empty()) {
    RTCGeometry geometry = rtcNewGeometry(device, RTC_GEOMETRY_TYPE_USER);
    rtcSetGeometryUserPrimitiveCount(geometry, static_cast<unsigned>(mesh.blobs.size()));
    rtcSetGeometryUserData(geometry, const_cast<Blob*>(mesh.blobs.data()));
    rtcSetGeometryBoundsFunction(geometry, blob_bounds, nullptr);
    rtcSetGeometryIntersectFunction(geometry, intersect_blob);
    attach(geometry, kBlobs);
  }
  rtcCommitScene(scene);
  const RTCError error = rtcGetDeviceError(device);
  if (error == RTC_ERROR_OUT_OF_MEMORY) throw std::bad_alloc();
  RAREFY_CHECK(error == RTC_ERROR_NONE, UnsupportedError, "simulate: Embree could not build the street (error {})",
               static_cast<int>(error));
}

Tracer::Tracer(const Mesh& mesh, const Ground* ground) : scene_(std::make_unique<Scene>(mesh, ground)) {
  scene_->build();
}
Tracer::~Tracer() = default;

Hit Tracer::trace(Vec3 origin, Vec3 direction, float far, std::uint64_t key, std::uint32_t ray_id) const {
  Context context;
  rtcInitIntersectContext(&context.embree);
  context.key = key;
  RTCRayHit query{};
  query.ray = {origin.x, origin.y, origin.z, 0.0f, direction.x, direction.y, direction.z, 0.0f, far, ~0u, ray_id, 0};
  query.hit.geomID = RTC_INVALID_GEOMETRY_ID;
  query.hit.primID = RTC_INVALID_GEOMETRY_ID;
  query.hit.instID[0] = RTC_INVALID_GEOMETRY_ID;
  rtcIntersect1(scene_->scene, &context.embree, &query);
  Hit hit;
  if (query.hit.geomID == RTC_INVALID_GEOMETRY_ID) return hit;
  hit.distance = query.ray.tfar;
  hit.normal = normalized({query.hit.Ng_x, query.hit.Ng_y, query.hit.Ng_z});
  const std::uint32_t primitive = query.hit.primID;
  switch (query.hit.geomID) {
    case kGround: {
      const Ground& ground = *scene_->ground;
      const std::uint32_t* corner = &ground.triangles[3 * std::size_t{primitive}];
      const float u = query.hit.u, v = query.hit.v, w = 1 - u - v;
      hit.kind = Hit::Kind::ground;
      hit.ground_raw = ground.raw[primitive];
      hit.s = w * ground.s[corner[0]] + u * ground.s[corner[1]] + v * ground.s[corner[2]];
      hit.d = w * ground.d[corner[0]] + u * ground.d[corner[1]] + v * ground.d[corner[2]];
      break;
    }
    case kBlobs:
      hit.kind = Hit::Kind::foliage;
      hit.part = scene_->mesh.blobs[primitive].part;
      break;
    default:
      hit.kind = Hit::Kind::mesh;
      hit.part = scene_->mesh.triangle_part[query.hit.geomID == kSolid ? scene_->solid[primitive]
                                                                       : scene_->porous[primitive].triangle];
  }
  return hit;
}

}  // namespace rarefy::sim
