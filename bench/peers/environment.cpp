#include "peers/environment.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/cpu.h"

namespace rarefy::peer {

void prepare_environment(int threads, char** argv) {
  bool missing = false;
  const auto want = [&missing](const char* name, const std::string& value) {
    const char* now = std::getenv(name);
    if (now != nullptr && value == now) return;
    setenv(name, value.c_str(), 1);
    missing = true;
  };
  if (cpu::has(cpu::Isa::avx512)) {
    want("OPENBLAS_CORETYPE", "SkylakeX");
  } else if (std::getenv("OPENBLAS_CORETYPE") != nullptr) {
    unsetenv("OPENBLAS_CORETYPE");
    missing = true;
  }
  want("OPENBLAS_NUM_THREADS", std::to_string(threads));
  want("OMP_NUM_THREADS", std::to_string(threads));
  want("OMP_WAIT_POLICY", "PASSIVE");
  if (missing) execv("/proc/self/exe", argv);  // if that fails, the check of the matrix product speaks
}

}  // namespace rarefy::peer
