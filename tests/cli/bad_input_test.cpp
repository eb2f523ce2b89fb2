// What is wrong with the input is said once, in one line, and nothing half-made is left behind.
#include <fstream>

#include "cli/program.h"
#include "data/formats/formats.h"
#include "rarefy/builder.h"
#include "rarefy/model.h"

namespace rarefy::test {
namespace {

using testing::HasSubstr;

void truncate(const std::string& path, std::uintmax_t less) {
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - less);
}

TEST_F(Program, wrong_command_lines) {
  expect_error("", 2, {"rarefy --help"});
  expect_error("segmnt a.bin", 2, {"segmnt", "did you mean 'segment'"});
  expect_error("segment", 2, {"SCAN", "rarefy segment --help"});
  expect_error("segment a.bin --treads 2", 2, {"--treads"});
  expect_error("segment a.bin --threads 0", 2, {"--threads"});
  expect_error("segment a.bin --threads many", 2, {"--threads"});
  expect_error("segment 'none*.bin'", 2, {"none*.bin"});
  expect_error("bench", 2, {"subcommand", "--self-check"});
  expect_error("bench batches", 2, {"--scan"});
  expect_error("bench batches --scan missing.bin", 1, {"missing.bin"});
  expect_error("bench scale", 2, {"--scan"});
  expect_error("bench scale --scan missing.bin", 1, {"missing.bin"});
  expect_error("bench crossover --patterns plaid", 2, {"--patterns", "plaid"});
  expect_error("bench crossover --densities 0.5,1.5", 2, {"--densities", "1.5"});
  expect_error("bench --json", 2, {"--self-check"});
  expect_error("bench conv", 2, {"--scan"});
  expect_error("inspect --builder minkunett", 2, {"minkunett", "minkunet"});
  expect_error("inspect --builder minkunet --width -1", 2, {"--width"});
  expect_error("inspect --builder minkunet net.safetensors", 2, {"not both"});
  write_street("a.bin");
  expect_error("segment a.bin --format klitti", 2, {"klitti", "kitti"});
  expect_error("bench conv --scan a.bin --kernel 2", 2, {"2 is even"});
}

TEST_F(Program, scans_that_cannot_be_read) {
  expect_error("segment missing.bin", 1, {"missing.bin", "No such file"});
  std::filesystem::create_directories(path("empty"));
  expect_error("segment empty", 2, {"empty"});
  write_street("short.bin");
  truncate(path("short.bin"), 3);
  expect_error("segment short.bin --labels-out short.label", 1, {"short.bin", "16"});
  std::ofstream(path("text.ply")) << "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float "
                                     "y\nproperty float z\nend_header\n1 2 3\n";
  expect_error("segment text.ply", 1, {"text.ply"});
  std::ofstream(path("noise.npy")) << "not an array";
  expect_error("segment noise.npy", 1, {"noise.npy"});
  std::ofstream(path("scan.xyz")) << "1 2 3";
  expect_error("segment scan.xyz", 2, {"scan.xyz"});
}

TEST_F(Program, an_empty_scan_is_no_error) {
  std::ofstream(path("none.bin")).close();
  const Result result = run("segment none.bin --json --labels-out none.label");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json()["scans"][0]["points"], 0);
  EXPECT_EQ(std::filesystem::file_size(path("none.label")), 0u);
}

TEST_F(Program, labels_that_do_not_fit_the_scan) {
  write_street("a.bin", true);
  truncate(path("a.label"), 8);
  expect_error("eval a.bin", 1, {"a.label"});
  expect_error("segment a.bin --report page.html >/dev/null", 1, {"a.label"});
  write_street("b.bin");
  expect_error("eval b.bin", 1, {"b.bin", "label"});
}

TEST_F(Program, models_that_do_not_serve) {
  write_street("a.bin");
  expect_error("segment a.bin --model missing.safetensors", 1, {"missing.safetensors", "No such file"});
  std::ofstream(path("noise.safetensors")) << "this is no model at all";
  expect_error("segment a.bin --model noise.safetensors", 1, {"noise.safetensors"});
  std::filesystem::copy_file(path("net.safetensors"), path("short.safetensors"));
  truncate(path("short.safetensors"), 100);
  expect_error("segment a.bin --model short.safetensors", 1, {"short.safetensors"});
  Builder b;
  b.output("y", b.linear(b.sparse_input(2, 3), 3));
  const Graph graph = b.build();
  Model(graph, initial_weights(graph, 1)).save(path("other.safetensors"));
  expect_error("segment a.bin --model other.safetensors", 1, {"other.safetensors", "pipeline"});
}

TEST_F(Program, outputs_that_cannot_be_written) {
  write_street("a.bin");
  expect_error("segment a.bin --labels-out nowhere/a.label", 1, {"nowhere/a.label", "No such file"});
  std::ofstream(path("file")) << "x";
  expect_error("segment a.bin --out file/a.ply", 1, {"file/a.ply"});
  expect_error("segment a.bin a.bin --out file", 1, {"file"});
  expect_error("segment a.bin --labels-out /dev/full", 1, {"/dev/full", "No space left"});
  expect_error("segment a.bin --report /dev/full", 1, {"/dev/full", "No space left"});
  expect_error("segment a.bin >/dev/full", 1, {"standard output", "No space left"});
  expect_error("info --json >/dev/full", 1, {"standard output", "No space left"});
}

TEST_F(Program, a_file_size_limit_leaves_the_old_file_alone) {
  write_street("a.bin");
  ASSERT_EQ(run("segment a.bin --report page.html").code, 0);
  const auto size = std::filesystem::file_size(path("page.html"));
  const auto before = listing();
  const Result result =
      shell("trap '' XFSZ; ulimit -f 8; exec " RAREFY_PROGRAM " segment a.bin --report page.html >/dev/null");
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("rarefy: page.html"));
  EXPECT_EQ(std::filesystem::file_size(path("page.html")), size);
  EXPECT_EQ(listing(), before);
}

TEST_F(Program, two_scans_of_one_name_do_not_overwrite_each_other) {
  write_street("one/a.bin");
  write_street("two/a.bin");
  const Result result = run("segment one/a.bin two/a.bin --labels-out out");
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("two scans would be written there"));
}

TEST_F(Program, an_interrupt_stops_between_steps_and_leaves_nothing) {
  write_street("a.bin", false, 1024);
  const auto before = listing();
  const Result result = run("segment a.bin --repeat 1000 --threads 1 --labels-out a.label", 0.5);
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err.rfind("rarefy: ", 0), 0u) << result.err;
  EXPECT_EQ(listing(), before);
}

}  // namespace
}  // namespace rarefy::test
