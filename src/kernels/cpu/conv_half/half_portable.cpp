// Plain loops; the compiler makes of them what its baseline has.
#include "base/half.h"
#include "kernels/cpu/conv_half/rows.h"

namespace rarefy::conv_half_cpu {
namespace {

struct Portable {
  static constexpr int kLanes = 4;
  struct Reg {
    float v[kLanes];
  };

  template <class F>
  static RAREFY_INLINE Reg each(F f) {
    Reg r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = f(i);
    return r;
  }
  static RAREFY_INLINE Reg set(float value) {
    return each([&](int) { return value; });
  }
  static RAREFY_INLINE Reg load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  static RAREFY_INLINE void store(float* p, Reg r) {
    for (int i = 0; i < kLanes; ++i) p[i] = r.v[i];
  }
  static RAREFY_INLINE Reg widen(const std::uint16_t* p) {
    return each([&](int i) { return rarefy::widen(Half{p[i]}); });
  }
  static RAREFY_INLINE void narrow(std::uint16_t* p, Reg r) {
    for (int i = 0; i < kLanes; ++i) p[i] = rarefy::narrow(r.v[i]).bits;
  }
  static RAREFY_INLINE Reg mul(Reg a, Reg b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  static RAREFY_INLINE Reg relu(Reg r) {
    return each([&](int i) { return r.v[i] < 0.0f ? 0.0f : r.v[i]; });
  }
  static RAREFY_INLINE Reg leaky_relu(Reg r, Reg slope) {
    return each([&](int i) { return r.v[i] < 0.0f ? r.v[i] * slope.v[i] : r.v[i]; });
  }
};

}  // namespace

extern const HalfKernels kHalf_portable;
const HalfKernels kHalf_portable = make_kernels<Portable>();

}  // namespace rarefy::conv_half_cpu
