#include "base/check.h"
#include "kernels/conv.h"
#include "kernels/cpu/conv/kernels.h"

namespace rarefy {
namespace conv_cpu {
#define RAREFY_CONV_VARIANT(variant, needs, proven) extern const ConvKernels kConv_##variant;
#include "kernels/cpu/conv/variants.inc"
#undef RAREFY_CONV_VARIANT
}  // namespace conv_cpu

namespace {
constexpr ConvVariant kVariants[] = {
#define RAREFY_CONV_VARIANT(variant, needs, proven) {#variant, needs, proven, &conv_cpu::kConv_##variant},
#include "kernels/cpu/conv/variants.inc"
#undef RAREFY_CONV_VARIANT
};
}  // namespace

std::span<const ConvVariant> conv_variants() { return kVariants; }

const ConvVariant& select_conv_variant() {
  const cpu::Isa allowed = cpu::allowed_isa();
  for (const ConvVariant& v : kVariants) {
    if (v.proven && v.needs <= allowed) return v;
  }
  fail<UnsupportedError>("no proven convolution kernel for {} (this CPU: {}, best {})", cpu::name(allowed),
                         cpu::model_name(), cpu::name(cpu::best_isa()));
}

std::string_view name(const ConvVariant& variant) { return variant.name; }
bool runs_here(const ConvVariant& variant) { return cpu::has(variant.needs); }

}  // namespace rarefy
