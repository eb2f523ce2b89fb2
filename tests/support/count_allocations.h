#pragma once
/// Counts the allocations of a whole program by replacing operator new. Include it in one source of the program only.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace rarefy::test {

/// Calls of operator new so far, of all threads.
inline std::atomic<std::int64_t> allocations{0};

inline void* counted(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace rarefy::test

// Not inlined, or the compiler sees free() meet operator new and warns.
#define RAREFY_NOT_INLINED __attribute__((noinline))
RAREFY_NOT_INLINED void* operator new(std::size_t bytes) { return rarefy::test::counted(bytes); }
RAREFY_NOT_INLINED void* operator new[](std::size_t bytes) { return rarefy::test::counted(bytes); }
// What std::stable_sort asks for its buffer; the address sanitizer brings its own unless these are here.
RAREFY_NOT_INLINED void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  rarefy::test::allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes == 0 ? 1 : bytes);
}
RAREFY_NOT_INLINED void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  rarefy::test::allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes == 0 ? 1 : bytes);
}
RAREFY_NOT_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
RAREFY_NOT_INLINED void operator delete[](void* memory) noexcept { std::free(memory); }
RAREFY_NOT_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
RAREFY_NOT_INLINED void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
#undef RAREFY_NOT_INLINED
