#pragma once
/// Chooses the instruction set as a user would.
#include <cstdlib>
#include <string>

namespace rarefy::test {

/// Sets RAREFY_ISA for one test.
class Wish {
 public:
  explicit Wish(const char* value) {
    const char* before = std::getenv("RAREFY_ISA");
    if (before != nullptr) before_ = before;
    had_ = before != nullptr;
    setenv("RAREFY_ISA", value, 1);
  }
  ~Wish() {
    if (had_) {
      setenv("RAREFY_ISA", before_.c_str(), 1);
    } else {
      unsetenv("RAREFY_ISA");
    }
  }
  Wish(const Wish&) = delete;
  Wish& operator=(const Wish&) = delete;

 private:
  std::string before_;
  bool had_ = false;
};

}  // namespace rarefy::test
