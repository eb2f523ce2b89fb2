#include "cli/program.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "data/formats/formats.h"
#include "data/labels.h"
#include "rarefy/models.h"
#include "report/street.h"

namespace rarefy::test {
namespace {

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

void Program::SetUp() {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  folder_ = std::filesystem::temp_directory_path() /
            ("rarefy_cli_" + std::string(info->name()) + "_" + std::to_string(getpid()));
  std::filesystem::remove_all(folder_);
  std::filesystem::create_directories(folder_);
  models::ModelOptions options;
  options.pipeline = models::semantic_kitti_pipeline(0.2);
  const Graph graph = models::at("minkunet_small").build(options);
  Model(graph, initial_weights(graph, 3), options.pipeline).save(path("net.safetensors"));
}

void Program::TearDown() { std::filesystem::remove_all(folder_); }

Result Program::run(const std::string& arguments, double interrupt_after) const {
  return shell("exec " RAREFY_PROGRAM " " + arguments, interrupt_after);
}

Result Program::shell(const std::string& command, double interrupt_after) const {
  const std::string streams =
      (std::filesystem::temp_directory_path() / ("rarefy_cli_streams_" + std::to_string(getpid()))).string();
  const std::string model = path("net.safetensors");
  const pid_t child = fork();
  if (child == 0) {
    // What the arguments redirect themselves comes after these.
    if (chdir(folder_.c_str()) != 0 || std::freopen((streams + ".out").c_str(), "wb", stdout) == nullptr ||
        std::freopen((streams + ".err").c_str(), "wb", stderr) == nullptr) {
      _exit(126);
    }
    setenv("RAREFY_MODEL", model.c_str(), 1);
    execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  if (interrupt_after >= 0) {
    usleep(static_cast<useconds_t>(1e6 * interrupt_after));
    kill(child, SIGINT);
  }
  Result result;
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  result.out = slurp(streams + ".out");
  result.err = slurp(streams + ".err");
  std::filesystem::remove(streams + ".out");
  std::filesystem::remove(streams + ".err");
  return result;
}

void Program::expect_error(const std::string& arguments, int code, const std::vector<std::string>& parts) const {
  SCOPED_TRACE("rarefy " + arguments);
  const auto before = listing();
  const Result result = run(arguments);
  EXPECT_EQ(result.code, code);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err.rfind("rarefy: ", 0), 0u) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  for (const std::string& part : parts)
    EXPECT_NE(result.err.find(part), std::string::npos) << "'" << part << "' is not in: " << result.err;
  EXPECT_EQ(listing(), before);
}

std::vector<std::string> Program::listing() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_))
    names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  return names;
}

void Program::write_street(const std::string& name, bool labels, int azimuths) const {
  const Street street = make_street(24, azimuths);
  std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
  save_scan(path(name), {.xyz = street.xyz, .intensity = street.intensity, .labels = {}, .notices = {}});
  if (!labels) return;
  std::vector<std::uint32_t> raw;
  for (const std::uint8_t label : street.truth) raw.push_back(label_map("semantic_kitti").raw(label));
  save_labels(path(name.substr(0, name.find_last_of('.')) + ".label"), raw);
}

}  // namespace rarefy::test
