#pragma once
/// Memory that grows and never shrinks, aligned to 64 bytes: the steady state allocates nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace rarefy {

class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 64;
  /// Makes room for `bytes`; contents are lost when it grows. Strong guarantee on std::bad_alloc.
  void* reserve(std::size_t bytes) {
    if (bytes > capacity_) {
      const std::size_t wanted = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      void* fresh = std::aligned_alloc(kAlignment, wanted);
      if (fresh == nullptr) throw std::bad_alloc();
      data_.reset(fresh);
      capacity_ = wanted;
    }
    return data_.get();
  }
  template <class T>
  T* reserve_for(std::int64_t count) {
    return static_cast<T*>(reserve(static_cast<std::size_t>(count) * sizeof(T)));
  }
  void* data() const { return data_.get(); }
  std::size_t capacity() const { return capacity_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> data_;
  std::size_t capacity_ = 0;
};

}  // namespace rarefy
