#pragma once
/// What this CPU can do, and which of it kernels may use.
#include <cstdint>
#include <string>
#include <string_view>

namespace rarefy::cpu {

/// Instruction sets that kernels are written for; each one includes those before it.
enum class Isa : std::uint8_t {
  portable,  ///< what the compiler's baseline has (x86-64: SSE2; aarch64: NEON)
  avx2,      ///< AVX2, FMA and F16C (conversions from and to fp16)
  avx512,    ///< AVX-512 F, BW, DQ and VL
};
/// "portable", "avx2", "avx512".
std::string_view name(Isa isa);

/// Features of the CPU that runs this process; all false where the operating system does not save the registers.
struct Features {
  bool avx2_fma = false;     ///< AVX2, FMA and F16C
  bool avx512 = false;       ///< F, BW, DQ, VL
  bool avx512_vnni = false;  ///< int8 dot products on 512-bit vectors
  bool avx512_fp16 = false;  ///< fp16 arithmetic
};
const Features& features();
/// The best instruction set of this CPU.
Isa best_isa();
/// True when this CPU executes `isa`.
bool has(Isa isa);

/// The best instruction set that the environment variable RAREFY_ISA allows; best_isa() when it is unset or empty.
/// Read at every call. @throws UsageError for an unknown value, naming the choices.
/// @throws UnsupportedError when this CPU lacks the wish, naming what it has.
Isa allowed_isa();
/// The same for a given wish.
Isa allowed_isa(std::string_view wish);

/// The name that the CPU gives itself ("AMD EPYC 7763 64-Core Processor"), or the architecture where there is none.
std::string model_name();

}  // namespace rarefy::cpu
