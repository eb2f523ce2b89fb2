#pragma once
/// Runs `rarefy` in a folder of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rarefy::test {

struct Result {
  int code = -1;  ///< exit code; 128 + signal when killed
  std::string out;
  std::string err;
  double cpu_seconds = 0;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

/// A fresh folder as working directory, with a small network `net.safetensors` of random weights.
class Program : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// Runs `rarefy ARGUMENTS` (words for a shell, redirections allowed) with RAREFY_MODEL=net.safetensors.
  /// @param interrupt_after  seconds until SIGINT; negative: never
  Result run(const std::string& arguments, double interrupt_after = -1) const;
  /// The same for any shell command.
  Result shell(const std::string& command, double interrupt_after = -1) const;
  /// Exit code `code`, nothing on standard output, and one line on standard error that starts with "rarefy: " and
  /// contains every one of `parts`. Whatever was in the folder before is all that is there afterwards.
  void expect_error(const std::string& arguments, int code, const std::vector<std::string>& parts) const;

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  /// Names in the folder, hidden and temporary ones included, below it with their path.
  std::vector<std::string> listing() const;
  /// A made-up street as KITTI .bin, with labels beside it when wanted.
  void write_street(const std::string& name, bool labels = false, int azimuths = 256) const;

  std::filesystem::path folder_;
};

}  // namespace rarefy::test
