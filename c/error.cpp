#include "rarefy/error.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/check.h"
#include "handles.h"

namespace rarefy::c {
namespace {

// Fixed memory: saying what went wrong must not fail, and needs no destructor when a host's thread ends.
constexpr std::size_t kCapacity = 2048;
thread_local char last_message[kCapacity] = "";
thread_local rarefy_status last_status = RAREFY_OK;

rarefy_status remember(rarefy_status status, const char* message) noexcept {
  const std::size_t length = std::min(std::strlen(message), kCapacity - 1);
  std::memmove(last_message, message, length);
  last_message[length] = '\0';
  last_status = status;
  return status;
}

}  // namespace

rarefy_status remember_exception() noexcept {
  try {
    throw;
  } catch (const UsageError& error) {
    return remember(RAREFY_USAGE_ERROR, error.what());
  } catch (const InputError& error) {
    return remember(RAREFY_INPUT_ERROR, error.what());
  } catch (const ShapeError& error) {
    return remember(RAREFY_SHAPE_ERROR, error.what());
  } catch (const UnsupportedError& error) {
    return remember(RAREFY_UNSUPPORTED_ERROR, error.what());
  } catch (const MemoryError& error) {
    return remember(RAREFY_MEMORY_ERROR, error.what());
  } catch (const IoError& error) {
    return remember(RAREFY_IO_ERROR, error.what());
  } catch (const Cancelled& error) {
    return remember(RAREFY_CANCELLED, error.what());
  } catch (const std::bad_alloc&) {
    return remember(RAREFY_MEMORY_ERROR, "out of memory");
  } catch (const std::exception& error) {
    return remember(RAREFY_INTERNAL_ERROR, error.what());
  } catch (...) {
    return remember(RAREFY_INTERNAL_ERROR, "an exception of unknown type");
  }
}

void require(const void* pointer, const char* function, const char* argument) {
  RAREFY_CHECK(pointer != nullptr, UsageError, "{}: {} is null", function, argument);
}

}  // namespace rarefy::c

extern "C" {

const char* rarefy_last_error(void) { return rarefy::c::last_message; }
rarefy_status rarefy_last_status(void) { return rarefy::c::last_status; }
const char* rarefy_version(void) { return RAREFY_VERSION; }

}  // extern "C"
