#include "kernels/cuda/device.h"

#include "base/check.h"
#include "kernels/cuda/error.h"

namespace rarefy::cuda {
namespace {

constexpr int kOldest = 8;  // major compute capability: cp.async, bf16 and tf32 need it

constexpr double mib(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

/// What the runtime says when asked for devices; the last error is cleared.
cudaError_t count_devices(int& count) {
  count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) cudaGetLastError();
  return status;
}

std::vector<int> usable_devices() {
  int count = 0;
  std::vector<int> usable;
  if (count_devices(count) != cudaSuccess) return usable;
  for (int d = 0; d < count; ++d) {
    int major = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, d), "cudaDeviceGetAttribute");
    if (major >= kOldest) usable.push_back(d);
  }
  return usable;
}

DeviceInfo info_of(int device) {
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  return {p.name, p.major, p.minor, p.multiProcessorCount, static_cast<std::int64_t>(p.totalGlobalMem), p.l2CacheSize};
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  const char* text = cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation)
    fail<MemoryError>("{}: the GPU has no memory left ({}; {:.0f} MiB are free)", what, text, mib(free_memory()));
  if (status == cudaErrorNoDevice || status == cudaErrorInsufficientDriver)
    fail<UnsupportedError>("no GPU can be used: {}", text);
  fail<Error>("{} failed on the GPU: {}", what, text);
}

std::vector<DeviceInfo> devices() {
  std::vector<DeviceInfo> result;
  for (const int d : usable_devices()) result.push_back(info_of(d));
  return result;
}

DeviceInfo current_device() {
  int count = 0;
  const cudaError_t status = count_devices(count);
  RAREFY_CHECK(status == cudaSuccess && count > 0, UnsupportedError,
               "no GPU can be used here: {}. Run with --device cpu, or check the driver with nvidia-smi",
               status == cudaSuccess ? "the driver shows none" : cudaGetErrorString(status));
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const DeviceInfo info = info_of(device);
  RAREFY_CHECK(info.major >= kOldest, UnsupportedError,
               "'{}' has compute capability {}.{}; the kernels need {}.0 (Ampere) or newer", info.name, info.major,
               info.minor, kOldest);
  return info;
}

void use_device(int index) {
  const std::vector<int> usable = usable_devices();
  if (usable.empty()) current_device();  // says why
  RAREFY_CHECK(index >= 0 && index < static_cast<int>(usable.size()), UnsupportedError,
               "there is no GPU {}: {} can be used, counted from 0", index, usable.size());
  check(cudaSetDevice(usable[static_cast<std::size_t>(index)]), "cudaSetDevice");
}

std::int64_t free_memory() {
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) cudaGetLastError();
  return static_cast<std::int64_t>(free);
}

DeviceBuffer::~DeviceBuffer() { cudaFree(data_); }

void* DeviceBuffer::reserve(std::int64_t bytes) {
  if (bytes <= capacity_) return data_;
  cudaFree(std::exchange(data_, nullptr));
  capacity_ = 0;
  constexpr std::int64_t kGranule = 512;
  const std::int64_t wanted = (bytes + kGranule - 1) / kGranule * kGranule;
  const cudaError_t status = cudaMalloc(&data_, static_cast<std::size_t>(wanted));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    data_ = nullptr;
    fail<MemoryError>(
        "the GPU has no {:.0f} MiB left: {:.0f} MiB are free. Use fewer points, larger voxels or half "
        "precision",
        mib(wanted), mib(free_memory()));
  }
  check(status, "cudaMalloc");
  capacity_ = wanted;
  return data_;
}

PinnedBuffer::~PinnedBuffer() { cudaFreeHost(data_); }

void* PinnedBuffer::reserve(std::int64_t bytes) {
  if (bytes <= capacity_) return data_;
  cudaFreeHost(std::exchange(data_, nullptr));
  capacity_ = 0;
  check(cudaMallocHost(&data_, static_cast<std::size_t>(bytes)), "cudaMallocHost");
  capacity_ = bytes;
  return data_;
}

OwnStream::OwnStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }
OwnStream::~OwnStream() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

Event::Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
Event::~Event() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}
void Event::record(Stream stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
void Event::wait() const { check(cudaEventSynchronize(event_), "a kernel"); }
double Event::ms_since(const Event& begin) const {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, begin.event_, event_), "cudaEventElapsedTime");
  return ms;
}

void copy_to_device(void* device, const void* host, std::int64_t bytes, Stream stream) {
  if (bytes > 0)
    check(cudaMemcpyAsync(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream),
          "a copy to the GPU");
}
void copy_to_host(void* host, const void* device, std::int64_t bytes, Stream stream) {
  if (bytes > 0)
    check(cudaMemcpyAsync(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream),
          "a copy from the GPU");
}
void copy_on_device(void* to, const void* from, std::int64_t bytes, Stream stream) {
  if (bytes > 0)
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream),
          "a copy on the GPU");
}
void fill_bytes(void* device, int byte, std::int64_t bytes, Stream stream) {
  if (bytes > 0) check(cudaMemsetAsync(device, byte, static_cast<std::size_t>(bytes), stream), "cudaMemset");
}
void synchronize(Stream stream) { check(cudaStreamSynchronize(stream), "a kernel"); }

}  // namespace rarefy::cuda
