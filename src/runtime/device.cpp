// What there is of GPUs, in builds with and without CUDA.
#include "runtime/device.h"

#include "base/check.h"
#include "base/text.h"
#ifdef RAREFY_WITH_CUDA
#include "kernels/cuda/device.h"
#include "runtime/cuda/run.h"
#endif

namespace rarefy {
namespace {

constexpr std::pair<Precision, std::string_view> kPrecisions[] = {{Precision::automatic, "automatic"},
                                                                  {Precision::fp32, "fp32"},
                                                                  {Precision::tf32, "tf32"},
                                                                  {Precision::fp16, "fp16"},
                                                                  {Precision::bf16, "bf16"}};

}  // namespace

std::string_view name(Precision precision) { return kPrecisions[static_cast<std::size_t>(precision)].second; }

Precision precision_named(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& [precision, its_name] : kPrecisions) {
    if (its_name == name) return precision;
    known.emplace_back(its_name);
  }
  fail<UsageError>("there is no precision '{}'; known are {}", name, fmt::join(known, ", "));
}

std::vector<GpuInfo> gpus() {
  std::vector<GpuInfo> result;
#ifdef RAREFY_WITH_CUDA
  for (const cuda::DeviceInfo& d : cuda::devices())
    result.push_back({d.name, fmt::format("{}.{}", d.major, d.minor), d.memory_bytes});
#endif
  return result;
}

namespace runtime {

void compile_for_device(Plan::Impl& plan) {
#ifdef RAREFY_WITH_CUDA
  cuda::compile(plan);
#else
  fail<UnsupportedError>(
      "this build of rarefy has no GPU kernels: build it where the CUDA toolkit (12 or newer) is installed, or run on "
      "the CPU");
#endif
}

std::unique_ptr<DeviceRun> make_device_run(const Plan::Impl& plan) {
#ifdef RAREFY_WITH_CUDA
  return cuda::make_run(plan);
#else
  fail<UnsupportedError>("this build of rarefy has no GPU kernels");
#endif
}

}  // namespace runtime
}  // namespace rarefy
