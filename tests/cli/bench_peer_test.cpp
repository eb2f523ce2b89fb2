// rarefy-bench-peer, where it is built.
#ifdef RAREFY_BENCH_PEER
#include <set>

#include "cli/program.h"

namespace rarefy::test {
namespace {

using testing::HasSubstr;

const std::string kPeer = "exec " RAREFY_BENCH_PEER " ";

TEST_F(Program, bench_peer_proves_that_both_compute_the_same_and_times_them) {
  write_street("a.bin");
  for (const char* threads : {"1", "2"}) {
    const Result result = shell(kPeer + "--scan a.bin --voxel 0.2 --quick --json --threads " + threads);
    ASSERT_EQ(result.code, 0) << result.err;
    const auto json = result.json();
    std::set<std::string> kinds;
    for (const auto& row : json["rows"]) {
      SCOPED_TRACE(row["name"].get<std::string>());
      kinds.insert(row["kind"].get<std::string>());
      EXPECT_EQ(row.contains("same_labels"), row["kind"] == "integers");
      if (row["kind"] == "integers") {
        EXPECT_GT(row["error"].get<double>(), 1e-4);  // integers took part
        EXPECT_GT(row["same_labels"].get<double>(), 0.8);
      }
      EXPECT_GT(row["error"].get<double>(), 0.0);  // two ways of rounding: equal bits would mean one computation
      for (const char* side : {"ours", "peer"}) {
        EXPECT_GT(row[side]["ms"].get<double>(), 0.0);
        EXPECT_LE(row[side]["least"].get<double>(), row[side]["low"].get<double>());
        EXPECT_LE(row[side]["low"].get<double>(), row[side]["high"].get<double>());
      }
      EXPECT_NEAR(row["ratio"].get<double>(), row["peer"]["ms"].get<double>() / row["ours"]["ms"].get<double>(), 1e-9);
    }
    EXPECT_EQ(kinds,
              (std::set<std::string>{"map", "convolution", "gradient", "dense", "inference", "integers", "training"}));
  }
}

TEST_F(Program, bench_peer_measures_the_memory_of_one_side_in_its_own_process) {
  write_street("a.bin");
  const Result table =
      shell(kPeer + "--scan a.bin --rows convolution --channels 8 --levels 0 --seconds 0.01 --threads 1");
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("convolution, level 0, 8 channels"));
  const Result one = shell(kPeer +
                           "--scan a.bin --rows convolution --channels 8 --levels 0 --memory-of peer --only "
                           "'convolution, level 0, 8 channels'");
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_GT(std::stod(one.out), 10.0);
  EXPECT_LT(std::stod(one.out), 2000.0);
}

TEST_F(Program, bench_peer_refuses_what_makes_no_sense) {
  write_street("a.bin");
  const auto refused = [this](const std::string& arguments, int code, const char* part) {
    const Result result = shell(kPeer + arguments);
    EXPECT_EQ(result.code, code) << arguments;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.rfind("rarefy: ", 0), 0u) << result.err;
    EXPECT_THAT(result.err, HasSubstr(part));
  };
  refused("", 2, "--scan");
  refused("--scan a.bin --rows everything", 2, "everything");
  refused("--scan a.bin --threads 0", 2, "--threads");
  refused("--scan a.bin --memory-of ours", 2, "--only");
  refused("--scan a.bin --only nothing", 2, "there is no row 'nothing'");
  refused("--scan missing.bin", 1, "missing.bin");
  EXPECT_EQ(shell(kPeer + "--help").code, 0);
}

}  // namespace
}  // namespace rarefy::test
#endif
