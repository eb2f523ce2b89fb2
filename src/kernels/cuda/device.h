#pragma once
/// Devices, memory, streams and events. Plain C++: files that include this need no CUDA compiler.
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

struct CUstream_st;
struct CUevent_st;

namespace rarefy::cuda {

/// A cudaStream_t; null = the default stream.
using Stream = CUstream_st*;

struct DeviceInfo {
  std::string name;
  int major = 0;  ///< compute capability
  int minor = 0;
  int multiprocessors = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t l2_bytes = 0;
};

/// Those that this build's kernels run on (compute capability 8.0 and newer); empty without a driver.
std::vector<DeviceInfo> devices();
/// The device that this thread uses. @throws UnsupportedError saying why there is none: no driver, no device, too old.
DeviceInfo current_device();
/// Makes device `index` of devices() the one that this thread uses. @throws UnsupportedError naming those there are.
void use_device(int index);
/// Bytes of device memory that are free.
std::int64_t free_memory();

/// Memory of the device that was current when it grew. It grows and never shrinks: the steady state allocates nothing.
/// Growing waits for the device, so that no running kernel loses its memory.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  /// Makes room; contents are lost when it grows. @throws MemoryError naming what was asked for and what is free; the
  /// buffer is empty then.
  void* reserve(std::int64_t bytes);
  template <class T>
  T* reserve_for(std::int64_t count) {
    return static_cast<T*>(reserve(count * static_cast<std::int64_t>(sizeof(T))));
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  void* data() const { return data_; }
  std::int64_t capacity() const { return capacity_; }

 private:
  void* data_ = nullptr;
  std::int64_t capacity_ = 0;
};

/// Page-locked host memory, for copies that do not wait. Grows like DeviceBuffer.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  ~PinnedBuffer();
  PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  void* reserve(std::int64_t bytes);
  template <class T>
  T* reserve_for(std::int64_t count) {
    return static_cast<T*>(reserve(count * static_cast<std::int64_t>(sizeof(T))));
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::int64_t capacity() const { return capacity_; }

 private:
  void* data_ = nullptr;
  std::int64_t capacity_ = 0;
};

/// A stream of its own.
class OwnStream {
 public:
  OwnStream();
  ~OwnStream();
  OwnStream(OwnStream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  OwnStream& operator=(OwnStream&&) = delete;
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

/// A point in a stream, with its time.
class Event {
 public:
  Event();
  ~Event();
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;
  void record(Stream stream);
  /// Waits until the device has passed it.
  void wait() const;
  /// Milliseconds from `begin` to this; both must have been passed.
  double ms_since(const Event& begin) const;

 private:
  CUevent_st* event_ = nullptr;
};

/// Copies are ordered by the stream. From and to page-locked memory they do not wait; pageable memory may be read
/// before the call returns.
void copy_to_device(void* device, const void* host, std::int64_t bytes, Stream stream);
void copy_to_host(void* host, const void* device, std::int64_t bytes, Stream stream);
void copy_on_device(void* to, const void* from, std::int64_t bytes, Stream stream);
void fill_bytes(void* device, int byte, std::int64_t bytes, Stream stream);
/// Waits for the stream. @throws Error naming the failure of any kernel before.
void synchronize(Stream stream);

}  // namespace rarefy::cuda
