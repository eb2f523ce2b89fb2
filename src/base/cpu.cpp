#include "base/cpu.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace rarefy::cpu {
namespace {

Features detect() {
  Features f;
#if defined(__x86_64__)
  // The builtins also ask the operating system (XGETBV) whether it saves the wide registers.
  __builtin_cpu_init();
  unsigned a = 0, b = 0, c = 0, d = 0;
  // CPUID leaf 1, ECX bit 29: F16C (clang 14 knows no name for it); it needs the registers of AVX and no others.
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && ((c >> 29) & 1u) != 0;
  f.avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
  f.avx512 = f.avx2_fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  f.avx512_vnni = f.avx512 && __builtin_cpu_supports("avx512vnni");
  // CPUID leaf 7, EDX bit 23: AVX512_FP16 (older compilers know no name for it).
  if (f.avx512 && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) f.avx512_fp16 = ((d >> 23) & 1u) != 0;
#endif
  return f;
}

constexpr std::array kIsas{Isa::portable, Isa::avx2, Isa::avx512};

}  // namespace

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

const Features& features() {
  static const Features found = detect();
  return found;
}

Isa best_isa() {
  if (features().avx512) return Isa::avx512;
  return features().avx2_fma ? Isa::avx2 : Isa::portable;
}

bool has(Isa isa) { return isa <= best_isa(); }

Isa allowed_isa() {
  const char* wish = std::getenv("RAREFY_ISA");
  return wish == nullptr ? best_isa() : allowed_isa(wish);
}

Isa allowed_isa(std::string_view wish) {
  if (wish.empty()) return best_isa();
  for (Isa isa : kIsas) {
    if (name(isa) != wish) continue;
    RAREFY_CHECK(has(isa), UnsupportedError,
                 "RAREFY_ISA={} asks for instructions that this CPU ({}) lacks; its best is {}", wish, model_name(),
                 name(best_isa()));
    return isa;
  }
  fail<UsageError>("RAREFY_ISA={} is unknown; choose portable, avx2 or avx512, or unset it", wish);
}

std::string model_name() {
#if defined(__x86_64__)
  std::array<unsigned, 12> words{};  // CPUID leaves 0x80000002..4: 48 characters
  unsigned* w = words.data();
  bool known = true;
  for (unsigned leaf = 0; leaf < 3; ++leaf, w += 4) {
    known = known && __get_cpuid(0x80000002u + leaf, w, w + 1, w + 2, w + 3) != 0;
  }
  if (known) {
    std::array<char, 49> text{};
    std::memcpy(text.data(), words.data(), 48);
    std::string_view trimmed(text.data());
    const auto first = trimmed.find_first_not_of(' ');
    const auto last = trimmed.find_last_not_of(' ');
    if (first != std::string_view::npos) return std::string(trimmed.substr(first, last - first + 1));
  }
  return "x86-64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "unknown CPU";
#endif
}

}  // namespace rarefy::cpu
