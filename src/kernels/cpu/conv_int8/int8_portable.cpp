// Plain loops; the compiler makes of them what its baseline has.
#include <cstring>

#include "kernels/cpu/conv_int8/tiles.h"

namespace rarefy::conv_int8_cpu {
namespace {

struct Portable {
  static constexpr int kLanes = 4;
  static constexpr int kMaxVectors = 2;
  static constexpr int kGroup = 2;
  static constexpr int kRows[2] = {4, 4};
  using Weight = std::int16_t;
  using Mask = int;
  struct Reg {
    std::int32_t v[kLanes];
  };
  struct Real {
    float v[kLanes];
  };

  template <class T, class F>
  static RAREFY_INLINE T each(F f) {
    T t;
    for (int i = 0; i < kLanes; ++i) t.v[i] = f(i);
    return t;
  }
  static RAREFY_INLINE Reg zero() { return Reg{}; }
  static RAREFY_INLINE Reg load(const std::int32_t* p) {
    Reg r;
    std::memcpy(&r, p, sizeof r);
    return r;
  }
  static RAREFY_INLINE void store(std::int32_t* p, Reg r) { std::memcpy(p, &r, sizeof r); }
  static RAREFY_INLINE Reg add(Reg a, Reg b) {
    return each<Reg>([&](int i) { return a.v[i] + b.v[i]; });
  }

  template <int R, int NV>
  static RAREFY_INLINE void add_products(const std::uint8_t* const (&x)[R], const Weight* w, std::int64_t channels,
                                         Reg (&acc)[R][NV]) {
    for (std::int64_t c = 0; c < channels; c += kGroup, w += NV * kLanes * kGroup) {
      for (int r = 0; r < R; ++r) {
        const std::int32_t a0 = x[r][c], a1 = c + 1 < channels ? x[r][c + 1] : 0;
        for (int v = 0; v < NV; ++v)
          for (int i = 0; i < kLanes; ++i) {
            const Weight* pair = w + (v * kLanes + i) * kGroup;
            acc[r][v].v[i] += a0 * pair[0] + a1 * pair[1];
          }
      }
    }
  }

  static RAREFY_INLINE Mask mask(int n) { return n; }
  static RAREFY_INLINE Real to_real(Reg r) {
    return each<Real>([&](int i) { return static_cast<float>(r.v[i]); });
  }
  static RAREFY_INLINE Real set(float v) {
    return each<Real>([&](int) { return v; });
  }
  static RAREFY_INLINE Real load_real(const float* p, Mask n) {
    return each<Real>([&](int i) { return i < n ? p[i] : 0.0f; });
  }
  static RAREFY_INLINE Real load_bytes(const std::uint8_t* p, Mask n) {
    return each<Real>([&](int i) { return i < n ? static_cast<float>(p[i]) : 0.0f; });
  }
  static RAREFY_INLINE Real mul(Real a, Real b) {
    return each<Real>([&](int i) { return a.v[i] * b.v[i]; });
  }
  static RAREFY_INLINE Real plus(Real a, Real b) {
    return each<Real>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static RAREFY_INLINE Real max(Real a, Real b) {
    return each<Real>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static RAREFY_INLINE Real min(Real a, Real b) {
    return each<Real>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static RAREFY_INLINE Real leaky_relu(Real r, Real slope) {
    return each<Real>([&](int i) { return r.v[i] < 0.0f ? r.v[i] * slope.v[i] : r.v[i]; });
  }
  static RAREFY_INLINE void store_real(float* p, Real r, Mask n) {
    for (int i = 0; i < n; ++i) p[i] = r.v[i];
  }
  static RAREFY_INLINE void store_bytes(std::uint8_t* p, Real r, std::int32_t zero, Mask n) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction, rounded to even
    for (int i = 0; i < n; ++i)
      p[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>((r.v[i] + kRound) - kRound) + zero);
  }
};

}  // namespace

extern const Int8Kernels kInt8_portable;
const Int8Kernels kInt8_portable = make_kernels<Portable>();

}  // namespace rarefy::conv_int8_cpu
