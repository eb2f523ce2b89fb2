// Vectors of four floats at the compiler's baseline; nothing is chosen at run time. Highway where its baseline has
// vectors (NEON, x86-64-v2 and above). For plain x86-64 (SSE2) Highway 1.0 has only a scalar target, so the compiler's
// own vector type stands in for the six operations that the tiles need.
#if defined(__aarch64__) && !defined(TOOLCHAIN_MISS_SYS_AUXV_H)
// Says that nothing is chosen at run time: otherwise Highway compiles NEON for CPUs with AES only, and what is compiled
// for the baseline, as all of this file, cannot inline it.
#define TOOLCHAIN_MISS_SYS_AUXV_H
#endif
#include <hwy/highway.h>

#include <cstring>

#include "kernels/cpu/conv/tiles.h"

namespace rarefy::conv_cpu {
namespace {

#if HWY_TARGET == HWY_SCALAR
struct Four {
  using Reg = float __attribute__((vector_size(16)));
  static RAREFY_INLINE Reg zero() { return Reg{0.0f, 0.0f, 0.0f, 0.0f}; }
  static RAREFY_INLINE Reg set(float value) { return Reg{value, value, value, value}; }
  static RAREFY_INLINE Reg load(const float* p) {
    Reg r;
    std::memcpy(&r, p, sizeof r);
    return r;
  }
  static RAREFY_INLINE void store(float* p, Reg r) { std::memcpy(p, &r, sizeof r); }
  static RAREFY_INLINE Reg fma(Reg a, Reg b, Reg c) { return a * b + c; }
  static RAREFY_INLINE Reg relu(Reg r) { return r < zero() ? zero() : r; }
  static RAREFY_INLINE Reg leaky_relu(Reg r, Reg slope) { return r < zero() ? r * slope : r; }
};
#else
namespace hn = hwy::HWY_NAMESPACE;
struct Four {
  using Tag = hn::FixedTag<float, 4>;
  using Reg = hn::Vec<Tag>;
  static RAREFY_INLINE Reg zero() { return hn::Zero(Tag()); }
  static RAREFY_INLINE Reg set(float value) { return hn::Set(Tag(), value); }
  static RAREFY_INLINE Reg load(const float* p) { return hn::LoadU(Tag(), p); }
  static RAREFY_INLINE void store(float* p, Reg r) { hn::StoreU(r, Tag(), p); }
  static RAREFY_INLINE Reg fma(Reg a, Reg b, Reg c) { return hn::MulAdd(a, b, c); }
  static RAREFY_INLINE Reg relu(Reg r) { return hn::IfThenElse(hn::Lt(r, zero()), zero(), r); }
  static RAREFY_INLINE Reg leaky_relu(Reg r, Reg slope) {
    return hn::IfThenElse(hn::Lt(r, zero()), hn::Mul(r, slope), r);
  }
};
#endif

struct Portable : Four {
  using Four::load;
  using Four::store;
  using Mask = int;
  static constexpr int kLanes = 4;
  static constexpr int kMaxVectors = 2;
  static constexpr int kForwardRows[2] = {8, 6};
  static constexpr int kGradientRows[2] = {8, 6};
  static constexpr bool kStationaryProven = true;

  // No masks at this level: tails go through a buffer, so that nothing beyond the row is touched.
  static RAREFY_INLINE Mask mask(int n) { return n; }
  static RAREFY_INLINE Reg load(const float* p, Mask n) {
    if (n == kLanes) return load(p);
    float part[kLanes] = {};
    for (int i = 0; i < n; ++i) part[i] = p[i];
    return load(part);
  }
  static RAREFY_INLINE void store(float* p, Reg r, Mask n) {
    if (n == kLanes) return store(p, r);
    float part[kLanes];
    store(part, r);
    for (int i = 0; i < n; ++i) p[i] = part[i];
  }
};

}  // namespace

extern const ConvKernels kConv_portable;
const ConvKernels kConv_portable = make_kernels<Portable>();

}  // namespace rarefy::conv_cpu
