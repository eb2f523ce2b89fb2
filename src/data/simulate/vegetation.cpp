#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/simulate/objects.h"

namespace rarefy::sim {
namespace {

float between(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }

Part leaves(Rng& rng) { return {kVegetation, 0, Material::foliage, between(rng, 0.30, 0.50), 0}; }
Part bark(Rng& rng) { return {kTrunk, 0, Material::matte, between(rng, 0.22, 0.40), 0}; }

Vec3 polar(float radius, float angle, float z) { return {radius * std::cos(angle), radius * std::sin(angle), z}; }

/// A stem of three leaning pieces, the last of which is returned.
Vec3 add_stem(Mesh& mesh, float height, float radius, Rng& rng) {
  Vec3 at{0, 0, -0.2f};
  float r = radius * 1.25f;
  const float lean = std::abs(static_cast<float>(rng.normal())) * 0.05f, angle = between(rng, 0, 6.28);
  for (int k = 1; k <= 3; ++k) {
    const float next_r = radius * (1.1f - 0.15f * static_cast<float>(k));
    const Vec3 next = polar(lean * height * static_cast<float>(k) / 3, angle, height * static_cast<float>(k) / 3) +
                      Vec3{static_cast<float>(rng.normal()) * 0.04f, static_cast<float>(rng.normal()) * 0.04f, 0};
    mesh.tube(at, next, r, next_r, 9);
    at = next;
    r = next_r;
  }
  return at;
}

}  // namespace

void add_tree(Mesh& mesh, float size, bool trimmed, Rng rng) {
  const float radius = 0.05f + 0.16f * size * between(rng, 0.6, 1.2);
  // Garden trees and self-sown ones branch near the ground.
  const float stem = !trimmed && rng.chance(0.55) ? between(rng, 0.3, 1.3)
                                                  : (trimmed ? 2.2f : 1.2f) + 1.8f * size + between(rng, 0, 1.3);
  const float crown = 0.8f + 3.2f * size * between(rng, 0.7, 1.2), tall = crown * between(rng, 0.8, 1.5);
  mesh.part(bark(rng));
  const Vec3 fork = add_stem(mesh, stem, radius, rng);
  // Branches carry the class of the crown that they run through, as annotators give it.
  mesh.part({kVegetation, 0, Material::matte, 0.3f, 0});
  const int branches = static_cast<int>(rng.integer(3, 6));
  for (int k = 0; k < branches; ++k) {
    const float angle = between(rng, 0, 6.28);
    const Vec3 tip = fork + polar(crown * between(rng, 0.3, 0.75), angle, tall * between(rng, 0.4, 1.1));
    mesh.tube(fork - Vec3{0, 0, between(rng, 0, 0.5)}, tip, radius * 0.55f, radius * 0.2f, 5);
  }
  mesh.tube(fork, fork + Vec3{0, 0, tall}, radius * 0.7f, radius * 0.25f, 6);
  if (rng.chance(0.08)) return;  // bare
  mesh.part(leaves(rng));
  const int clusters = 4 + static_cast<int>(7 * size) + static_cast<int>(rng.integer(0, 3));
  const float density = between(rng, 1.8, 4.5), gap = between(rng, 0.4, 0.75), grain = between(rng, 0.3, 0.7);
  const Vec3 middle = fork + Vec3{0, 0, tall * 0.75f};
  for (int k = 0; k < clusters; ++k) {
    const float angle = between(rng, 0, 6.28), out = crown * std::sqrt(between(rng, 0, 0.6));
    const float r = crown * between(rng, 0.35, 0.65);
    Blob blob;
    blob.center = middle + polar(out, angle, tall * between(rng, -0.55, 0.6));
    blob.radius = {r, r * between(rng, 0.8, 1.2), r * between(rng, 0.55, 0.95)};
    blob.density = density;
    blob.gap = gap;
    blob.grain = grain;
    mesh.blob(blob);
  }
}

void add_conifer(Mesh& mesh, float size, Rng rng) {
  const float height = 2.5f + 9 * size, base = 0.8f + 1.8f * size * between(rng, 0.7, 1.2);
  mesh.part(bark(rng));
  mesh.tube({0, 0, -0.2f}, {0, 0, height * 0.8f}, 0.06f + 0.16f * size, 0.03f, 8);
  mesh.part(leaves(rng));
  const float start = rng.chance(0.6) ? 0.15f : between(rng, 0.5, 2.0);
  const int layers = 4 + static_cast<int>(height / 1.2f);
  const float density = between(rng, 2, 5);
  for (int k = 0; k < layers; ++k) {
    const float t = (static_cast<float>(k) + 0.5f) / static_cast<float>(layers);
    const float r = std::max(0.2f, base * (1 - t) * between(rng, 0.85, 1.15));
    Blob blob;
    blob.center = polar(r * 0.15f, between(rng, 0, 6.28), start + (height - start) * t);
    blob.radius = {r, r, (height - start) / static_cast<float>(layers) * 0.9f};
    blob.density = density;
    blob.gap = 0.45f;
    blob.grain = 0.3f;
    mesh.blob(blob);
  }
}

void add_bush(Mesh& mesh, float height, float width, Rng rng) {
  mesh.part(leaves(rng));
  const int clusters = static_cast<int>(rng.integer(3, 7));
  const float density = between(rng, 2, 9), gap = between(rng, 0.3, 0.65);
  for (int k = 0; k < clusters; ++k) {
    const float h = height * between(rng, 0.5, 1.0), r = width * between(rng, 0.22, 0.5);
    Blob blob;
    blob.center = polar(width * 0.45f * std::sqrt(between(rng, 0, 1)), between(rng, 0, 6.28), h * 0.45f);
    blob.radius = {r, r * between(rng, 0.75, 1.3), h * 0.55f};
    blob.density = density;
    blob.gap = gap;
    blob.grain = between(rng, 0.15, 0.4);
    mesh.blob(blob);
  }
}

void add_tall_grass(Mesh& mesh, float length, float height, float depth, Rng rng) {
  mesh.part(leaves(rng));
  for (float x = 0; x < length; x += 1.1f) {
    Blob tuft;
    const float h = height * between(rng, 0.4, 1.2);
    tuft.center = {x + between(rng, 0, 0.8), depth * between(rng, -0.4, 0.4), h * 0.35f};
    tuft.radius = {between(rng, 0.5, 1.0), depth * between(rng, 0.4, 0.7), h * 0.65f};
    tuft.density = between(rng, 4, 9);
    tuft.gap = 0.45f;
    tuft.grain = 0.3f;
    mesh.blob(tuft);
  }
}

void add_hedge(Mesh& mesh, float length, float height, float depth, Rng rng) {
  mesh.part(leaves(rng));
  const bool clipped = rng.chance(0.4);
  const float density = clipped ? between(rng, 5, 16) : between(rng, 2.5, 8),
              gap = clipped ? between(rng, 0.12, 0.35) : between(rng, 0.3, 0.6);
  if (clipped) {
    Blob core;
    core.center = {length / 2, 0, height / 2 - 0.1f};
    core.radius = {length / 2, depth / 2, height / 2 + 0.08f};
    core.density = density;
    core.gap = gap;
    core.grain = 0.25f;
    core.box = true;
    mesh.blob(core);
  }
  // Rounded plants along it: bulges of a clipped hedge, the whole of a grown one.
  const float step = clipped ? 0.8f : 0.6f * depth + 0.2f;
  for (float x = step / 2; x < length; x += step) {
    Blob plant;
    const float h = height * between(rng, clipped ? 0.92 : 0.7, clipped ? 1.06 : 1.2);
    plant.center = {x + between(rng, -0.15, 0.15), between(rng, -0.15, 0.15) * depth, h * 0.5f};
    plant.radius = {step * 0.75f, depth * between(rng, 0.5, clipped ? 0.58 : 0.75), h * 0.55f};
    plant.density = density;
    plant.gap = gap + 0.1f;
    plant.grain = 0.25f;
    mesh.blob(plant);
  }
}

void add_crop(Mesh& mesh, float length, float depth, float height, Rng rng) {
  mesh.part(leaves(rng));
  Blob crop;
  crop.center = {length / 2, depth / 2, height / 2 - 0.15f};
  crop.radius = {length / 2, depth / 2, height / 2 + 0.15f};
  crop.density = between(rng, 2, 6);
  crop.gap = between(rng, 0.1, 0.5);
  crop.grain = between(rng, 0.2, 0.5);
  crop.box = true;
  mesh.blob(crop);
}

void add_ground_cover(Mesh& mesh, float length, float depth, float height, Rng rng) {
  mesh.part(leaves(rng));
  const float size = between(rng, 0.35, 0.8), density = between(rng, 2, 5) / height, gap = between(rng, 0.2, 0.55);
  const int plants = static_cast<int>(length * depth * between(rng, 0.5, 0.9) / (size * size) * 0.65f) + 1;
  for (int k = 0; k < plants; ++k) {
    Blob plant;
    const float h = height * between(rng, 0.35, 1.15);
    plant.center = {between(rng, 0, length), between(rng, 0, depth), h * 0.4f};
    plant.radius = {size * between(rng, 0.7, 1.4), size * between(rng, 0.7, 1.4), h * 0.6f};
    plant.density = density;
    plant.gap = gap;
    plant.grain = between(rng, 0.15, 0.35);
    mesh.blob(plant);
  }
}

}  // namespace rarefy::sim
