/// Batches, checkpoints, whole runs, and the program: what is interrupted ends with the same bits.
#include "train/run.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <set>
#include <thread>

#include "rarefy/models.h"
#include "rarefy/train.h"
#include "support/expect_error.h"
#include "support/random_cases.h"
#include "tiny_scans.h"
#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"

namespace rarefy::train {
namespace {

Model small_model(std::uint64_t seed) {
  const models::ModelOptions options{.width = 0.5, .classes = 19, .pipeline = models::semantic_kitti_pipeline(0.5)};
  const Graph graph = models::at("minkunet_small").build(options);
  return Model(graph, initial_weights(graph, seed), options.pipeline);
}

ValueId logits_of(const Graph& graph) {
  for (const GraphOutput& o : graph.outputs())
    if (o.name == "logits") return o.value;
  return -1;
}

TEST(RowLabels, voxels_take_the_most_frequent_label_of_their_points) {
  const Model model = small_model(1);
  const Preparer preparer(model.graph(), model.pipeline());
  Batch batch;
  const auto point = [&](float x, std::uint8_t label) {
    batch.xyz.insert(batch.xyz.end(), {x, 0.1f, 0.1f});
    batch.intensity.push_back(0.0f);
    batch.labels.push_back(label);
  };
  point(0.1f, 3), point(0.2f, 3), point(0.3f, 1);                // 3 wins
  point(0.6f, 5), point(0.7f, 2);                                // a tie: the lowest
  point(1.1f, kIgnored), point(1.2f, kIgnored), point(1.3f, 4);  // ignored points do not vote
  point(1.6f, kIgnored);                                         // nobody votes
  batch.sample_begin = {0, batch.size()};
  batch.has_intensity = {1};
  Prepared prepared;
  prepare_points(preparer, *model.pipeline(), batch, serial_executor(), prepared);
  EXPECT_EQ(row_labels(model.graph(), prepared, logits_of(model.graph()), batch.labels),
            (std::vector<std::uint8_t>{3, 2, 4, kIgnored}));
}

TEST(BatchMaker, batches_are_functions_of_their_number_and_epochs_are_permutations) {
  const test::TemporaryFolder folder;
  test::write_tiny_data(folder.path(), 5, 200);
  const Model model = small_model(1);
  const Preparer preparer(model.graph(), model.pipeline());
  const ScanSource source = open_data_set(folder.path());
  const auto maker = [&](bool shuffle) {
    BatchOptions options;
    options.seed = 3;
    options.augment = {.rotate = 0,
                       .flip_x = 0,
                       .flip_y = 0,
                       .scale_min = 1,
                       .scale_max = 1,
                       .translate = 0,
                       .jitter = 0,
                       .drop_points = 0,
                       .drop_intensity = 0,
                       .intensity_scale = 0,
                       .swap_sector = 0,
                       .rotate_paste = 0};
    options.shuffle_and_augment = shuffle;
    return BatchMaker({source}, preparer, *model.pipeline(), label_map_of(*model.pipeline()), logits_of(model.graph()),
                      options);
  };
  const BatchMaker in_order = maker(false), shuffled = maker(true);
  std::set<std::vector<float>> all, epoch;
  for (int i = 0; i < 5; ++i) {
    all.insert(in_order.make(i, serial_executor()).prepared->points);
    epoch.insert(shuffled.make(5 + i, serial_executor()).prepared->points);
  }
  EXPECT_EQ(all.size(), 5u);
  EXPECT_EQ(all, epoch);
  Prefetcher ahead([&](std::int64_t step) { return shuffled.make(step, serial_executor()); }, 2, 6, 2);
  for (int i = 2; i < 6; ++i) {
    const TrainBatch batch = ahead.next(), again = shuffled.make(i, serial_executor());
    EXPECT_EQ(batch.prepared->points, again.prepared->points);
    EXPECT_EQ(batch.labels, again.labels);
  }
}

TEST(Prefetcher, an_error_reaches_the_caller) {
  Prefetcher ahead(
      [](std::int64_t step) -> TrainBatch {
        if (step == 1) throw InputError("scan.bin: truncated");
        return {};
      },
      0, 5, 2);
  EXPECT_NO_THROW(ahead.next());
  test::expect_error<InputError>([&] { ahead.next(); }, {"scan.bin"});
}

TEST(Checkpoint, survives_the_file_and_damage_is_found) {
  const test::TemporaryFolder folder;
  const Checkpoint c{7, 1.5, "settings\n", "a,b\n", {{"weight/x", {1.0f, -2.0f}}, {"first/x", {}}}};
  const std::string path = folder / "checkpoint.bin";
  save_checkpoint(path, c);
  const Checkpoint found = load_checkpoint(path);
  EXPECT_EQ(found.step, 7);
  EXPECT_EQ(found.settings, c.settings);
  EXPECT_EQ(found.curve, c.curve);
  EXPECT_EQ(found.state, c.state);
  Bytes bytes = read_file(path);
  for (const std::size_t at : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    Bytes damaged = bytes;
    damaged[at] ^= std::byte{1};
    write_file_atomic(path, ByteView(damaged));
    test::expect_error<InputError>([&] { load_checkpoint(path); }, {path});
  }
  bytes.resize(bytes.size() / 2);
  write_file_atomic(path, ByteView(bytes));
  test::expect_error<InputError>([&] { load_checkpoint(path); }, {path});
}

TEST(Curve, survives_csv) {
  const std::vector<CurvePoint> curve{{10, 20, 1.5, 1e-3, 2.5, 1.5, 1.0, 0.25, -1.0},
                                      {20, 40, 3.0, 5e-4, 2.0, 1.25, 0.75, 0.5, 0.375}};
  const std::string csv = curve_to_csv(curve);
  EXPECT_EQ(curve_to_csv(curve_from_csv(csv, "curve")), csv);
  EXPECT_NE(curve_to_svg(curve, "title").find("</svg>"), std::string::npos);
}

TEST(Trainer, overfits_one_scan_and_what_was_trained_is_what_runs) {
  const Scan scan = test::tiny_scan(5, 1500);
  std::vector<float> points;
  std::vector<std::uint8_t> labels;
  for (std::int64_t i = 0; i < scan.size(); ++i) {
    for (int a = 0; a < 3; ++a) points.push_back(scan.xyz[static_cast<std::size_t>(3 * i + a)]);
    points.push_back(scan.intensity[static_cast<std::size_t>(i)]);
    labels.push_back(label_maps()[0].training(scan.labels[static_cast<std::size_t>(i)]));
  }
  const Inputs inputs{{"points", PointView{points.data(), scan.size(), 16, {0, 4, 8, 12}, {}}}};
  const auto train = [&](int threads) {
    Trainer trainer(small_model(2), {.learning_rate = 1e-2, .lovasz = 1.0, .threads = threads});
    double loss = 0.0;
    for (int step = 0; step < 80; ++step) loss = trainer.step(inputs, labels);
    EXPECT_LT(loss, 0.2);
    return trainer.model();
  };
  const Model model = train(2);
  Session session(model);
  const auto found = session.run(inputs)["labels"].as<std::uint8_t>();
  std::int64_t right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) right += found[i] == labels[i] ? 1 : 0;
  EXPECT_GT(static_cast<double>(right) / static_cast<double>(labels.size()), 0.97);
  EXPECT_EQ(train(2).serialize(), model.serialize()) << "same input, same bits";
  EXPECT_EQ(train(1).serialize(), model.serialize()) << "for any number of threads";
}

TEST(Trainer, empty_input_and_wrong_labels) {
  Trainer trainer(small_model(2), {});
  float nothing[4] = {};
  EXPECT_EQ(trainer.step({{"points", PointView{nothing, 0, 16, {0, 4, 8, 12}, {}}}}, {}), 0.0);
  const std::vector<std::uint8_t> one{0};
  test::expect_error<ShapeError>(
      [&] {
        trainer.step({{"points", PointView{nothing, 0, 16, {0, 4, 8, 12}, {}}}}, one);
      },
      {"1 labels"});
  test::expect_error<UsageError>([&] { Trainer bad(small_model(2), {.output = "nothing"}); }, {"nothing"});
}

RunSettings tiny_settings(const test::TemporaryFolder& folder) {
  RunSettings s;
  s.data = {folder / "data"};
  s.output = folder / "model.safetensors";
  s.checkpoint = folder / "checkpoint.bin";
  s.steps = 6;
  s.report_every = 2;
  s.checkpoint_every = 3;
  return s;
}

TEST(Run, stopped_and_started_again_it_ends_with_the_same_bits) {
  const test::TemporaryFolder folder;
  test::write_tiny_data(folder / "data", 3, 300);
  RunSettings settings = tiny_settings(folder);
  const Model start = small_model(4);
  settings.checkpoint.clear();
  EXPECT_FALSE(run_training(start, settings, {}).interrupted);
  const Bytes whole = read_file(settings.output);

  settings = tiny_settings(folder);
  int asked = 0;
  EXPECT_TRUE(run_training(start, settings, {.stop = [&] { return ++asked > 4; }}).interrupted);
  EXPECT_FALSE(run_training(start, settings, {}).interrupted);
  EXPECT_EQ(read_file(settings.output), whole);

  settings.seed = 99;
  test::expect_error<UsageError>([&] { run_training(start, settings, {}); }, {"other settings", "seed"});
}

#ifndef __SANITIZE_THREAD__
pid_t launch(const std::string& program, std::vector<std::string> arguments) {
  const pid_t child = fork();
  if (child != 0) return child;
  const int null = open("/dev/null", O_WRONLY);
  dup2(null, 1), dup2(null, 2);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(program.c_str(), pointers.data());
  _exit(127);
}

int status_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST(Program, killed_at_any_moment_the_run_ends_with_the_same_bits) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
  const std::string program = self + "/rarefy-train";
  ASSERT_TRUE(path_exists(program)) << program << ": build the target rarefy-train";
  const test::TemporaryFolder folder;
  test::write_tiny_data(folder / "data", 4, 400);
  const auto arguments = [&](const std::string& name) {
    return std::vector<std::string>{program,
                                    "--data",
                                    folder / "data",
                                    "--builder",
                                    "minkunet_small",
                                    "--width",
                                    "0.5",
                                    "--voxel",
                                    "0.5",
                                    "--steps",
                                    "60",
                                    "--checkpoint-every",
                                    "1",
                                    "--report-every",
                                    "10",
                                    "--checkpoint-dir",
                                    folder / name,
                                    "--out",
                                    folder / (name + ".safetensors")};
  };
  ASSERT_EQ(status_of(launch(program, arguments("whole"))), 0);
  Rng rng(8);
  for (int attempt = 0; attempt < 3; ++attempt) {
    const pid_t child = launch(program, arguments("killed"));
    const std::string checkpoint = folder / "killed/checkpoint.bin";
    const auto before = path_exists(checkpoint) ? load_checkpoint(checkpoint).step : 0;
    // Kill it in the middle of writing checkpoints: some steps after it went on.
    for (int i = 0; i < 3000; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      if (path_exists(checkpoint) && load_checkpoint(checkpoint).step > before + 4) break;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(rng.integer(0, 20000)));
    kill(child, SIGKILL);
    status_of(child);
  }
  ASSERT_EQ(status_of(launch(program, arguments("killed"))), 0);
  EXPECT_EQ(read_file(folder / "killed.safetensors"), read_file(folder / "whole.safetensors"));
}

TEST(Program, interrupted_it_writes_a_checkpoint_and_exits_with_130) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/rarefy-train";
  const test::TemporaryFolder folder;
  test::write_tiny_data(folder / "data", 2, 300);
  const pid_t child = launch(program, {program, "--data", folder / "data", "--builder", "minkunet_small", "--voxel",
                                       "0.5", "--steps", "1000000", "--checkpoint-every", "1", "--checkpoint-dir",
                                       folder / "run", "--out", folder / "m.safetensors"});
  for (int i = 0; i < 3000 && !path_exists(folder / "run/checkpoint.bin"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(child, SIGINT);
  const int status = status_of(child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_GT(load_checkpoint(folder / "run/checkpoint.bin").step, 0);
  EXPECT_FALSE(path_exists(folder / "m.safetensors"));
}

TEST(Program, the_wanted_features_are_those_that_the_network_sees) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/rarefy-train";
  const test::TemporaryFolder folder;
  test::write_tiny_data(folder / "data", 2, 300);
  const auto train = [&](const std::string& features) {
    return WEXITSTATUS(
        status_of(launch(program, {program, "--data", folder / "data", "--builder", "minkunet_small", "--voxel", "0.5",
                                   "--steps", "1", "--features", features, "--out", folder / "m.safetensors"})));
  };
  EXPECT_EQ(train("z,intensity"), 0);
  const Model model = Model::load(folder / "m.safetensors");
  ASSERT_EQ(model.pipeline()->features.size(), 2u);
  EXPECT_EQ(model.pipeline()->features[0].name, "z");
  EXPECT_EQ(model.pipeline()->features[1].name, "intensity");
  EXPECT_EQ(train("z,colour"), 2);
}

TEST(Program, wrong_arguments_exit_with_2_and_missing_data_with_1) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/rarefy-train";
  const test::TemporaryFolder folder;
  EXPECT_EQ(WEXITSTATUS(status_of(launch(program, {program}))), 2);
  EXPECT_EQ(WEXITSTATUS(status_of(launch(program, {program, "--help"}))), 0);
  EXPECT_NE(WEXITSTATUS(status_of(launch(program, {program, "--data", folder / "none", "--out", folder / "m"}))), 0);
}
#endif

}  // namespace
}  // namespace rarefy::train
