// rarefy stream: what is dropped, what is kept, that nothing grows; first the pipeline alone with made-up work.
#include <algorithm>
#include <atomic>
#include <fstream>
#include <numeric>
#include <random>
#include <thread>

#include "cli/program.h"
#include "data/formats/formats.h"
#include "rarefy/error.h"
#include "stream/figures.h"
#include "stream/pipeline.h"

namespace rarefy::cli::stream {
namespace {

using std::chrono::milliseconds;

/// Sleeps in place of work.
Stages stages_of(int read_ms, int prepare_ms, int infer_ms) {
  const auto sleep = [](int ms) { return [ms](Frame&) { std::this_thread::sleep_for(milliseconds(ms)); }; };
  return {sleep(read_ms), sleep(prepare_ms), sleep(infer_ms)};
}

struct Played {
  std::vector<Outcome> outcomes;
  std::int64_t given_up = 0;
  double ms = 0;
  std::vector<std::int64_t> numbers(Fate fate) const {
    std::vector<std::int64_t> all;
    for (const Outcome& outcome : outcomes)
      if (outcome.fate == fate) all.push_back(outcome.number);
    return all;
  }
};

Played play(const PipelineOptions& options, Stages stages) {
  Pipeline pipeline(options, std::move(stages));
  Played played;
  while (!pipeline.finished()) {
    auto outcome = pipeline.next(milliseconds(50));
    if (!outcome) continue;
    if (outcome->frame) {
      auto kept = std::make_unique<Frame>();
      kept->times = outcome->frame->times;
      pipeline.recycle(std::exchange(outcome->frame, std::move(kept)));
    }
    played.outcomes.push_back(std::move(*outcome));
  }
  played.given_up = pipeline.given_up();
  played.ms = std::chrono::duration<double, std::milli>(Clock::now() - pipeline.start()).count();
  return played;
}

std::vector<std::int64_t> all_of(std::int64_t count) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

TEST(Pipeline, none_are_dropped_when_so_asked_and_latency_grows) {
  const Played played =
      play({.period_ms = 2, .entries = 4, .frames = 20, .drop = Drop::none, .deadline_ms = 1}, stages_of(0, 1, 12));
  EXPECT_EQ(played.numbers(Fate::done), all_of(20));
  EXPECT_EQ(played.outcomes.size(), 20u);
  // The last arrived after 38 ms and was begun after 19 others.
  EXPECT_GT(played.outcomes.back().frame->times.latency, 20 * 12 - 38);
  EXPECT_EQ(played.outcomes.back().entry, 3u);
  EXPECT_EQ(played.given_up, 0);
}

TEST(Pipeline, the_oldest_gives_way_to_the_latest) {
  const Played played = play({.period_ms = 3, .entries = 7, .frames = 80, .drop = Drop::oldest}, stages_of(0, 1, 20));
  const auto done = played.numbers(Fate::done), dropped = played.numbers(Fate::no_place);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), 79) << "what arrives last is never the oldest";
  EXPECT_GE(dropped.size(), 20u);
  std::vector<std::int64_t> both = done;
  both.insert(both.end(), dropped.begin(), dropped.end());
  std::sort(both.begin(), both.end());
  EXPECT_EQ(both, all_of(80));
}

TEST(Pipeline, the_newest_gives_way_to_what_was_begun) {
  const Played played = play({.period_ms = 3, .entries = 7, .frames = 80, .drop = Drop::newest}, stages_of(0, 1, 20));
  const auto done = played.numbers(Fate::done), dropped = played.numbers(Fate::no_place);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.front(), 0) << "nothing was there before the first";
  EXPECT_GE(dropped.size(), 20u);
  EXPECT_EQ(done.size() + dropped.size(), 80u);
}

TEST(Pipeline, what_is_late_already_is_not_begun) {
  PipelineOptions options{.period_ms = 30, .entries = 1, .frames = 5, .drop = Drop::newest, .deadline_ms = 1};
  std::atomic<int> begun{0};
  Stages stages = stages_of(0, 10, 0);
  stages.infer = [&](Frame&) { ++begun; };
  Played played = play(options, stages);
  EXPECT_EQ(played.numbers(Fate::done).size(), 0u);
  EXPECT_GE(played.numbers(Fate::late).size(), 1u);
  EXPECT_EQ(played.outcomes.size(), 5u);
  EXPECT_EQ(begun, 0);
  options.drop = Drop::none;
  EXPECT_EQ(play(options, stages).numbers(Fate::done), all_of(5));
}

TEST(Pipeline, stages_overlap) {
  const Played played = play({.period_ms = 0, .entries = 1, .frames = 12}, stages_of(30, 30, 30));
  EXPECT_EQ(played.numbers(Fate::done), all_of(12));
  EXPECT_LT(played.ms, 0.75 * 12 * 90);
  EXPECT_GT(played.ms, 14 * 30 - 5);
}

TEST(Pipeline, frames_never_share_geometry) {
  for (const Drop drop : {Drop::oldest, Drop::newest, Drop::none}) {
    std::array<std::atomic<std::int64_t>, 3> owner{-1, -1, -1};
    std::atomic<int> wrong{0}, seen{0};
    Stages stages = stages_of(0, 0, 0);
    stages.prepare = [&](Frame& frame) {
      owner.at(static_cast<std::size_t>(frame.geometry)) = frame.number;
      std::this_thread::sleep_for(milliseconds(1));
    };
    stages.infer = [&](Frame& frame) {
      for (int i = 0; i < 4; ++i) {
        if (owner.at(static_cast<std::size_t>(frame.geometry)) != frame.number) ++wrong;
        std::this_thread::sleep_for(milliseconds(1));
      }
      ++seen;
    };
    (void)play({.period_ms = 1, .entries = 1, .frames = 100, .drop = drop}, stages);
    EXPECT_EQ(wrong, 0);
    EXPECT_GT(seen, 0);
  }
}

TEST(Pipeline, a_frame_that_fails_stops_no_other) {
  Stages stages = stages_of(0, 0, 0);
  stages.read = [](Frame& frame) {
    if (frame.number == 3) throw InputError("three is broken");
  };
  stages.infer = [](Frame& frame) {
    if (frame.number == 5) throw MemoryError("five is too large");
  };
  const Played played = play({.period_ms = 0, .entries = 1, .frames = 8}, stages);
  EXPECT_EQ(played.numbers(Fate::failed), (std::vector<std::int64_t>{3, 5}));
  EXPECT_EQ(played.numbers(Fate::done), (std::vector<std::int64_t>{0, 1, 2, 4, 6, 7}));
  for (const Outcome& outcome : played.outcomes) {
    EXPECT_EQ(outcome.message, outcome.number == 3   ? "three is broken"
                               : outcome.number == 5 ? "five is too large"
                                                     : "");
  }
}

TEST(Pipeline, an_unexpected_error_reaches_the_caller) {
  Stages stages = stages_of(0, 0, 0);
  stages.prepare = [](Frame& frame) {
    if (frame.number == 2) throw std::bad_alloc();
  };
  EXPECT_THROW((void)play({.period_ms = 0, .entries = 1, .frames = 1000}, stages), std::bad_alloc);
}

TEST(Pipeline, an_endless_stream_can_be_stopped) {
  Pipeline pipeline({.period_ms = 0, .entries = 3, .frames = 0}, stages_of(0, 0, 1));
  for (int i = 0; i < 20;) {
    auto outcome = pipeline.next(milliseconds(1000));
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(outcome->entry, static_cast<std::size_t>(outcome->number % 3));
    pipeline.recycle(std::move(outcome->frame));
    ++i;
  }
  pipeline.stop();
  while (!pipeline.finished()) (void)pipeline.next(milliseconds(50));
  EXPECT_GE(pipeline.given_up(), 0);
  EXPECT_LE(pipeline.given_up(), 8);
}

TEST(Quantiles, equal_those_of_sorted_values_to_a_percent) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> draw(3, 2);
  Quantiles quantiles;
  std::vector<double> values;
  for (int i = 0; i < 5000; ++i) {
    values.push_back(draw(random));
    quantiles.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double share : {0.01, 0.25, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = values[static_cast<std::size_t>(std::ceil(share * 5000)) - 1];
    EXPECT_NEAR(quantiles.at(share) / exact, 1, 0.0051) << share;
  }
  EXPECT_DOUBLE_EQ(quantiles.largest(), values.back());
  EXPECT_NEAR(quantiles.mean(), std::accumulate(values.begin(), values.end(), 0.0) / 5000, 1e-9 * values.back());
  EXPECT_EQ(quantiles.between(0, 1e9), 5000);
  EXPECT_EQ(Quantiles().at(0.5), 0);
}

TEST(Series, keeps_its_size_and_its_sums) {
  Series series;
  double worst = 0;
  for (int i = 0; i < 10000; ++i) {
    Bin& bin = series.at(0.13 * i);
    ++bin.done;
    bin.worst_ms = std::max(bin.worst_ms, static_cast<double>(i % 977));
    worst = std::max(worst, static_cast<double>(i % 977));
  }
  EXPECT_LE(series.bins().size(), Series::kMost);
  EXPECT_GE(series.bins().size(), Series::kMost / 2);
  std::int64_t done = 0;
  double found = 0;
  for (const Bin& bin : series.bins()) {
    done += bin.done;
    found = std::max(found, bin.worst_ms);
  }
  EXPECT_EQ(done, 10000);
  EXPECT_EQ(found, worst);
  EXPECT_NEAR(series.bin_seconds() * static_cast<double>(series.bins().size()), 1300, 2 * series.bin_seconds());
}

}  // namespace
}  // namespace rarefy::cli::stream

namespace rarefy::test {
namespace {

using testing::HasSubstr;

std::string bytes_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(Program, stream_labels_as_segment_does) {
  for (int s = 0; s < 5; ++s) write_street("scans/" + std::to_string(s) + ".bin", false, 128 + 32 * s);
  const Scan scan = load_scan(path("scans/0.bin"));
  save_scan(path("scans/5.npy"), {.xyz = scan.xyz, .intensity = {}, .labels = {}, .notices = {}});
  ASSERT_EQ(run("segment scans --labels-out one --threads 1").code, 0);
  const Result result = run("stream scans --rate 0 --drop none --out two --threads 2 --loop --frames 14 --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json()["labelled"], 14);
  for (int s = 0; s < 6; ++s) {
    const std::string name = "/" + std::to_string(s) + ".label";
    EXPECT_EQ(bytes_of_file(path("one" + name)), bytes_of_file(path("two" + name))) << s;
    EXPECT_GT(bytes_of_file(path("two" + name)).size(), 1000u);
  }
}

TEST_F(Program, stream_figures_add_up) {
  write_street("scans/a.bin");
  write_street("scans/b.bin", false, 128);
  const Result result =
      run("stream scans --rate 200 --loop --frames 100 --deadline 20s --drop newest --json --report page.html");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = result.json();
  EXPECT_EQ(json["arrived"], 100);
  const auto count = [&](const nlohmann::json& value) { return value.get<std::int64_t>(); };
  EXPECT_EQ(count(json["labelled"]) + count(json["dropped"]["no_place"]) + count(json["dropped"]["late"]) +
                count(json["failed"]) + count(json["given_up"]),
            100);
  EXPECT_GE(count(json["labelled"]), 1);
  EXPECT_EQ(json["deadline_ms"], 20000.0);
  EXPECT_GE(json["seconds"].get<double>(), 0.495);  // the last arrives then
  double sum = 0;
  for (const char* part : {"read", "wait", "voxelize", "maps", "network"}) {
    sum += json["ms"][part]["mean"].get<double>();
    EXPECT_LE(json["ms"][part]["p50"].get<double>(), json["ms"][part]["longest"].get<double>() + 1e-9) << part;
  }
  EXPECT_NEAR(sum, json["latency_ms"]["mean"].get<double>(), 1e-6);
  EXPECT_GT(json["ms"]["network"]["mean"].get<double>(), 0);
  EXPECT_GT(json["memory_mb"]["end"].get<double>(), 1);
  EXPECT_THAT(bytes_of_file(path("page.html")), HasSubstr("Where the time went"));
}

TEST_F(Program, stream_says_what_it_dropped_and_missed) {
  write_street("scans/a.bin", false, 512);
  const Result result = run("stream scans --rate 2000 --loop --frames 200 --drop oldest --threads 1");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("200 frames"));
  EXPECT_THAT(result.out, HasSubstr("had no place"));
  EXPECT_THAT(result.out, HasSubstr("missed the deadline of 0.5 ms"));
  EXPECT_THAT(result.out, HasSubstr("p99"));
}

TEST_F(Program, stream_goes_on_after_a_bad_scan) {
  write_street("scans/a.bin");
  write_street("scans/c.bin");
  std::ofstream(path("scans/b.bin")) << "seventeen bytes!!";
  const Result result = run("stream scans --rate 0 --loop --frames 9 --json");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.json()["labelled"], 6);
  EXPECT_EQ(result.json()["failed"], 3);
  const auto first = result.err.find("b.bin");
  EXPECT_NE(first, std::string::npos);
  EXPECT_EQ(result.err.find("b.bin", result.err.find('\n', first)), std::string::npos) << "once is enough";
}

TEST_F(Program, stream_stops_cleanly_when_interrupted) {
  write_street("scans/a.bin");
  const Result result = run("stream scans --rate 20 --deadline 20s --loop --out labels --json", 1.5);
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("rarefy: interrupted"));
  EXPECT_GE(result.json()["labelled"].get<int>(), 1);
  EXPECT_EQ(listing(), (std::vector<std::string>{path("labels"), path("labels/a.label"), path("net.safetensors"),
                                                 path("scans"), path("scans/a.bin")}));
}

TEST_F(Program, stream_refuses_what_makes_no_sense_and_what_does_not_fit) {
  write_street("scans/a.bin", false, 1024);
  EXPECT_THAT(run("stream --help").out, HasSubstr("--drop oldest|newest|none"));
  expect_error("stream", 2, {"SCAN"});
  expect_error("stream scans --drop some", 2, {"--drop"});
  expect_error("stream scans --deadline 3lightyears", 2, {"--deadline"});
  expect_error("stream scans --model net.safetensors --builder minkunet", 2, {"--builder"});
  expect_error("stream missing.bin", 1, {"missing.bin"});
  expect_error("stream scans --memory 1", 1, {"needs", "MB", "a.bin", "1 MB are allowed", "--memory"});
}

/// Also says so in lines of its own, since standard error is no terminal here.
TEST_F(Program, stream_memory_is_flat_for_twenty_seconds_Slow) {
  for (int s = 0; s < 6; ++s) write_street("scans/" + std::to_string(s) + ".bin", false, 128 + 64 * s);
  const Result result = run("stream scans --rate 40 --deadline 10s --loop --frames 800 --drop oldest --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = result.json();
  EXPECT_GE(json["seconds"].get<double>(), 19.9);
  const double before = json["memory_mb"]["second_quarter"].get<double>();
  EXPECT_GT(before, 1);
  EXPECT_LT(json["memory_mb"]["second_half"].get<double>(), 1.02 * before + 2);
  EXPECT_GE(std::count(result.err.begin(), result.err.end(), '\n'), 3) << result.err;
  EXPECT_THAT(result.err, HasSubstr("labelled ("));
}

}  // namespace
}  // namespace rarefy::test
