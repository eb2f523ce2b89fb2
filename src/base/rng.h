#pragma once
/// Counter-based random numbers: a value is a function of (seed, stream, index), never of thread or order.
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

namespace rarefy {

/// Finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection whose output bits are well mixed.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// A stream's number from a name (FNV-1a), for values that depend on what a thing is called, not on where it stands.
constexpr std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return hash;
}

/// A stream of random numbers named by (seed, a, b), e.g. (seed, epoch, sample). Copyable, cheap, no shared state.
class Rng {
 public:
  explicit constexpr Rng(std::uint64_t seed, std::uint64_t a = 0, std::uint64_t b = 0)
      : key_(mix64(mix64(mix64(seed) ^ a) ^ (b * 0xD1342543DE82EF95ull))) {}

  constexpr std::uint64_t bits() { return bits_at(counter_++); }
  /// What bits() returns the (index + 1)-th time.
  constexpr std::uint64_t bits_at(std::uint64_t index) const { return mix64(key_ ^ mix64(index)); }
  /// Uniform in [0, 1).
  constexpr double uniform() { return static_cast<double>(bits() >> 11) * 0x1.0p-53; }
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform integer in [low, high], both included.
  constexpr std::int64_t integer(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(uniform() * static_cast<double>(high - low + 1));
  }
  constexpr bool chance(double probability) { return uniform() < probability; }
  /// Standard normal (Box and Muller 1958).
  double normal() {
    const double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * uniform());
  }
  /// An independent stream: same key and index, same numbers.
  constexpr Rng fork(std::uint64_t index) const { return Rng(key_, index, 0x5EED); }

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

}  // namespace rarefy
