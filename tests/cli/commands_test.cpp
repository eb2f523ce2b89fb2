// Every subcommand does what its help says.
#include <fstream>
#include <numeric>

#include "cli/program.h"
#include "data/formats/formats.h"
#include "data/formats/npy_array.h"
#include "rarefy/builder.h"
#include "rarefy/model.h"

namespace rarefy::test {
namespace {

using testing::HasSubstr;

TEST_F(Program, help_of_every_subcommand_has_examples) {
  for (const char* command : {"",
                              "segment",
                              "stream",
                              "convert",
                              "eval",
                              "simulate",
                              "simulate lidar",
                              "inspect",
                              "info",
                              "run",
                              "bench",
                              "bench ablation",
                              "bench conv",
                              "bench model",
                              "bench crossover",
                              "bench scale",
                              "bench batches",
                              "bench precision",
                              "bench dataflows",
                              "quantize",
                              "compress",
                              "tune"}) {
    const Result help = run(std::string(command) + " --help");
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_THAT(help.out, HasSubstr("Examples:")) << command;
    EXPECT_EQ(help.err, "") << command;
  }
}

TEST_F(Program, starts_in_less_than_50_ms) {
  double best = 1;
  for (int i = 0; i < 5; ++i) {
    const Result version = run("--version");
    EXPECT_EQ(version.code, 0);
    EXPECT_EQ(version.out.rfind("rarefy ", 0), 0u) << version.out;
    best = std::min(best, version.cpu_seconds);
  }
  EXPECT_LT(best, 0.05);
}

TEST_F(Program, info_says_what_this_machine_can_do) {
  const auto json = run("info --json").json();
  for (const char* field : {"version", "commit", "cpu", "isa", "variants", "peak_gflops", "build"})
    EXPECT_TRUE(json.contains(field)) << field;
  EXPECT_GT(json["peak_gflops"]["fp32"].get<double>(), 1.0);
  int selected = 0;
  for (const auto& variant : json["variants"]["conv"]) selected += variant["selected"].get<bool>();
  EXPECT_EQ(selected, 1);
  EXPECT_THAT(run("info").out, HasSubstr("GFLOP/s per core"));
}

TEST_F(Program, segment_labels_every_point) {
  write_street("a.bin");
  const Result result = run("segment a.bin --json --threads 1 --labels-out a.label --out a.ply --report a.html");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto scan = result.json()["scans"][0];
  const auto points = scan["points"].get<std::int64_t>();
  EXPECT_EQ(scan["file"], "a.bin");
  EXPECT_EQ(points, load_scan(path("a.bin")).size());
  EXPECT_GT(scan["voxels"].get<std::int64_t>(), 100);
  for (const char* part : {"read", "voxelize", "maps", "network", "total"})
    EXPECT_GE(scan["ms"][part].get<double>(), 0) << part;
  std::int64_t counted = 0;
  for (const auto& [name, count] : scan["classes"].items()) counted += count.get<std::int64_t>();
  EXPECT_EQ(counted, points);
  const auto labels = load_labels(path("a.label"), points);
  for (const std::uint32_t raw : labels)
    ASSERT_TRUE(raw == 0 || label_map("semantic_kitti").raw(label_map("semantic_kitti").training(raw)) == raw) << raw;
  const Scan ply = load_scan(path("a.ply"));
  EXPECT_EQ(ply.labels, labels);
  EXPECT_EQ(ply.intensity.size(), labels.size());
  EXPECT_GT(std::filesystem::file_size(path("a.html")), 500000u);
}

TEST_F(Program, segment_gives_the_same_labels_for_any_number_of_threads) {
  write_street("a.bin");
  ASSERT_EQ(run("segment a.bin --threads 1 --labels-out one.label").code, 0);
  ASSERT_EQ(run("segment a.bin --threads 3 --labels-out three.label").code, 0);
  EXPECT_EQ(load_labels(path("one.label")), load_labels(path("three.label")));
}

TEST_F(Program, segment_takes_folders_and_patterns) {
  write_street("scans/a.bin");
  write_street("scans/b.bin", false, 128);
  for (const char* scans : {"scans", "'scans/*.bin'", "scans/a.bin scans/b.bin"}) {
    const Result result = run(std::string("segment ") + scans + " --json --labels-out out --report pages");
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.json()["scans"].size(), 2u);
    EXPECT_TRUE(std::filesystem::exists(path("out/a.label")) && std::filesystem::exists(path("pages/b.html"))) << scans;
    std::filesystem::remove_all(path("out"));
  }
}

TEST_F(Program, one_bad_scan_does_not_stop_the_others) {
  write_street("a.bin");
  write_street("c.bin");
  std::ofstream(path("b.bin")) << "seventeen bytes!!";
  const Result result = run("segment a.bin b.bin missing.bin c.bin --json");
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.json()["scans"].size(), 2u);
  EXPECT_EQ(result.json()["failed"], 2);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("rarefy: b.bin"));
  EXPECT_THAT(result.err, HasSubstr("rarefy: missing.bin"));
}

TEST_F(Program, a_scan_without_intensity_is_segmented_with_a_note) {
  write_street("a.bin");
  const Scan scan = load_scan(path("a.bin"));
  save_scan(path("plain.npy"), {.xyz = scan.xyz, .intensity = {}, .labels = {}, .notices = {}});
  const Result result = run("segment plain.npy --json");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_FALSE(result.json()["scans"][0]["intensity"].get<bool>());
  EXPECT_THAT(result.err, HasSubstr("rarefy: note: plain.npy: has no intensity"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST_F(Program, points_that_are_not_finite_are_counted_and_refused_when_strict) {
  write_street("a.bin");
  Scan scan = load_scan(path("a.bin"));
  scan.xyz[7] = std::numeric_limits<float>::quiet_NaN();
  scan.xyz[90] = std::numeric_limits<float>::infinity();
  save_scan(path("nan.bin"), scan);
  const Result result = run("segment nan.bin --json --labels-out nan.label");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json()["scans"][0]["points_not_finite"], 2);
  EXPECT_THAT(result.err, HasSubstr("2 of"));
  const auto labels = load_labels(path("nan.label"));
  EXPECT_EQ(labels[2], 0u);
  EXPECT_EQ(labels[30], 0u);
  expect_error("segment nan.bin --strict --labels-out strict.label", 1, {"nan.bin"});
}

TEST_F(Program, eval_counts_every_labelled_point) {
  write_street("set/a.bin", true);
  write_street("set/b.bin", true, 128);
  const auto json = run("eval set --json --scans").json();
  EXPECT_EQ(json["scans"], 2);
  std::int64_t confusion = 0, classes = 0, ranges = 0;
  for (const auto& row : json["confusion"]) {
    for (const auto& count : row) confusion += count.get<std::int64_t>();
  }
  for (const auto& c : json["per_class"]) classes += c["points"].get<std::int64_t>();
  for (const auto& bin : json["by_range"]) ranges += bin["points"].get<std::int64_t>();
  EXPECT_GT(confusion, 1000);
  EXPECT_EQ(json["points"], confusion);
  EXPECT_EQ(classes, confusion);
  EXPECT_EQ(ranges, confusion);
  EXPECT_EQ(json["per_scan"].size(), 2u);
  double sum = 0;
  int occurring = 0;
  for (const auto& c : json["per_class"]) {
    if (c["points"].get<std::int64_t>() == 0) continue;
    sum += c["iou"].get<double>();
    ++occurring;
  }
  EXPECT_EQ(json["classes"], occurring);
  EXPECT_NEAR(json["miou"].get<double>(), sum / occurring, 1e-12);
  // The scans' own counts add up to the whole; voxels that run through the blocks are those of the levels.
  for (std::size_t c = 0; c < json["per_class"].size(); ++c) {
    std::map<std::string, std::int64_t> all;
    for (const auto& scan : json["per_scan"])
      for (const char* what : {"truth", "predicted", "right"}) all[what] += scan["counts"][what][c].get<std::int64_t>();
    EXPECT_EQ(all["truth"], json["per_class"][c]["points"].get<std::int64_t>());
    if (all["truth"] > 0) {
      EXPECT_NEAR(
          json["per_class"][c]["iou"].get<double>(),
          static_cast<double>(all["right"]) / static_cast<double>(all["truth"] + all["predicted"] - all["right"]),
          1e-12);
    }
  }
  EXPECT_GT(json["macs_per_scan"].get<double>(), 1e6);
  ASSERT_EQ(run("inspect --builder minkunet --width 0.2 --voxel 0.2 --save m.safetensors").code, 0);
  const auto residual = run("eval set --model m.safetensors --json --scans").json();
  ASSERT_EQ(residual["blocks"].size(), 16u);
  double rows = 0;
  for (const auto& scan : residual["per_scan"]) rows += scan["rows"][15].get<double>() / 2;
  EXPECT_NEAR(residual["blocks"][15]["rows"].get<double>(), rows, 1e-6);
  EXPECT_GT(rows, 10);
  EXPECT_THAT(run("eval set --confusion").out, HasSubstr("mIoU"));
}

TEST_F(Program, inspect_knows_the_published_networks) {
  const std::pair<const char*, std::int64_t> expected[] = {{"1.0", 21723315}, {"0.64", 8771298}, {"0.5", 5435235}};
  for (const auto& [width, parameters] : expected) {
    const auto json = run(std::string("inspect --json --builder minkunet --width ") + width).json();
    EXPECT_EQ(json["parameters"], parameters) << width;
    EXPECT_GT(json["nodes"].get<int>(), 100);
  }
  const auto sized = run("inspect --json --builder minkunet --voxels 90695,64066,37870,18295,7527 --pairs "
                         "301213,330888,273098,165613,77581")
                         .json();
  EXPECT_FALSE(sized["estimated"].get<bool>());
  EXPECT_NEAR(sized["macs"].get<double>(), 137.1e9, 0.005 * 137.1e9);
  EXPECT_TRUE(run("inspect --json --builder minkunet --voxels 90000").json()["estimated"].get<bool>());
}

TEST_F(Program, inspect_describes_a_file_and_counts_a_scan) {
  write_street("a.bin");
  const auto json = run("inspect net.safetensors --json --scan a.bin").json();
  const auto segmented = run("segment a.bin --json").json()["scans"][0];
  EXPECT_EQ(json["macs"], segmented["macs"]);
  EXPECT_EQ(json["levels"][0]["voxels"], segmented["voxels"]);
  EXPECT_EQ(json["pipeline"]["classes"].size(), 19u);
  EXPECT_EQ(run("inspect --dot").out.rfind("digraph", 0), 0u);
  EXPECT_THAT(run("inspect --text").out, HasSubstr("voxelize"));
  ASSERT_EQ(run("inspect --builder minkunet_small --save again.safetensors").code, 0);
  EXPECT_EQ(run("inspect again.safetensors --json").json()["parameters"], json["parameters"]);
}

TEST_F(Program, run_executes_a_graph_on_arrays) {
  Builder b;
  const ValueId x = b.sparse_input(2, 2, {1}, "x");
  b.output("y", b.conv(x, {.channels = 1, .kernel = {3}, .name = "conv"}));
  const Graph graph = b.build();
  Weights weights = initial_weights(graph, 1);
  auto w = weights.mutable_at("conv.weight").mutable_as<float>();
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i);
  Model(graph, weights).save(path("conv.safetensors"));
  // Two neighbours along the last axis: offset (0, 1) is number 5, (0, -1) number 3, the centre number 4.
  NpzFile input;
  input.set("x.coords", NpyArray::of<std::int32_t>({2, 3}, std::vector<std::int32_t>{0, 5, 8, 0, 5, 7}));
  input.set("x.features", NpyArray::of<float>({2, 2}, std::vector<float>{1, 10, 2, 20}));
  input.write(path("in.npz"));
  const Result result = run("run conv.safetensors --input in.npz --output out.npz --json --profile");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_GE(result.json()["profile"].size(), 1u);
  const NpzFile output = NpzFile::read(path("out.npz"));
  EXPECT_THAT(output.at("y.coords").as<std::int32_t>(), testing::ElementsAre(0, 5, 7, 0, 5, 8));
  const auto dot = [](int offset, float a, float c) {
    return static_cast<float>(2 * offset) * a + static_cast<float>(2 * offset + 1) * c;
  };
  EXPECT_THAT(output.at("y.features").as<float>(),
              testing::ElementsAre(dot(4, 2, 20) + dot(5, 1, 10), dot(4, 1, 10) + dot(3, 2, 20)));
  expect_error("run conv.safetensors --input missing.npz", 1, {"missing.npz"});
  NpzFile wrong;
  wrong.set("z", NpyArray::of<float>({1, 1}, std::vector<float>{1}));
  wrong.write(path("wrong.npz"));
  expect_error("run conv.safetensors --input wrong.npz --output never.npz", 1, {"wrong.npz", "x.coords"});
}

TEST_F(Program, bench_conv_reports_consistent_figures) {
  write_street("a.bin");
  const auto json =
      run("bench conv --scan a.bin --channels 8,16 --levels 0,2 --threads 1 --repetitions 2 --json").json();
  ASSERT_EQ(json["rows"].size(), 12u);
  EXPECT_GT(json["peak_gflops"]["fp32"].get<double>(), 1.0);
  for (const auto& row : json["rows"]) {
    const double cin = row["cin"].get<double>(), cout = row["cout"].get<double>(), pairs = row["pairs"].get<double>();
    EXPECT_NEAR(row["gflops"].get<double>(), 2e-6 * pairs * cin * cout / row["ms"].get<double>(), 1e-6);
    EXPECT_NEAR(row["of_peak"].get<double>(), row["gflops"].get<double>() / row["peak_gflops"].get<double>(), 1e-9);
    EXPECT_GT(row["map_ms"].get<double>(), 0);
  }
}

TEST_F(Program, bench_batches_shares_out_the_same_points) {
  write_street("a.bin");
  const Result result = run(
      "bench batches --scan a.bin --builder minkunet_small --voxel 0.2 --repetitions 2 --event-voxels 300 --channels 8 "
      "--json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto rows = result.json()["rows"];
  ASSERT_EQ(rows.size(), 5u);
  std::vector<std::string> names;
  const auto voxels = rows[0]["voxels"].get<double>();
  for (const auto& row : rows) {
    names.push_back(row["batch"]);
    // A cut divides the voxels on it between two samples.
    EXPECT_GE(row["voxels"].get<double>(), voxels);
    EXPECT_LE(row["voxels"].get<double>(), 1.5 * voxels);
    for (const char* field : {"ms", "network_ms", "ns_per_voxel", "slower", "gflops"})
      EXPECT_GT(row[field].get<double>(), 0.0) << field;
    EXPECT_EQ(row.contains("norm_gradient_ns"), row["batch"] != "events one by one");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"one scan", "even", "uneven", "events", "events one by one"}));
  EXPECT_EQ(rows[0]["slower"], 1.0);
  EXPECT_EQ(rows[1]["samples"], 8);
  EXPECT_EQ(rows[2]["samples"], 61);
  EXPECT_GT(rows[3]["samples"].get<int>(), 2);
  // Samples of a batch do not see each other: the events have the same pairs in one run and in many.
  EXPECT_EQ(rows[3]["macs"], rows[4]["macs"]);
  EXPECT_EQ(rows[3]["voxels"], rows[4]["voxels"]);
  EXPECT_THAT(run("bench batches --scan a.bin --builder minkunet_small --repetitions 1").out,
              testing::HasSubstr("events one by one"));
}

TEST_F(Program, bench_scale_measures_each_size_apart) {
  write_street("a.bin");
  const auto points = load_scan(path("a.bin")).size();
  const Result result =
      run("bench scale --scan a.bin --builder minkunet_small --voxel 0.2 --repetitions 2 --json --points " +
          std::to_string(4 * points) + "," + std::to_string(points) + ",500");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto rows = result.json()["rows"];
  ASSERT_EQ(rows.size(), 3u);  // ascending
  EXPECT_EQ(rows[0]["points"], 500);
  EXPECT_EQ(rows[2]["points"], 4 * points);
  for (const char* field : {"voxels", "macs"}) {  // but for points that a shift rounds into another voxel
    const double ratio = rows[2][field].get<double>() / rows[1][field].get<double>();
    EXPECT_NEAR(ratio, 4.0, 0.01) << field;
  }
  for (const auto& row : rows) {
    EXPECT_GT(row["ms"].get<double>(), 0);
    EXPECT_NEAR(row["expected_memory_ratio"].get<double>(), 1.0, 0.2) << row;
  }
  EXPECT_THAT(run("bench scale --scan a.bin --builder minkunet_small --points 300 --repetitions 1").out,
              HasSubstr("beyond rate"));
}

TEST_F(Program, inspect_predicts_memory_in_proportion_to_voxels) {
  const auto memory = [&](const std::string& voxels) {
    return run("inspect --builder minkunet --width 0.5 --json --voxels " + voxels).json()["memory_mb"].get<double>();
  };
  const double some = memory("1000000"), more = memory("2000000"), most = memory("3000000");
  EXPECT_GT(some, 100);
  EXPECT_NEAR(most - more, more - some, 0.01 * some);
}

TEST_F(Program, bench_crossover_reports_a_row_per_combination) {
  const auto json = run("bench crossover --channels 4,8 --kernels 2,3 --densities 0.05,0.5,1 --json").json();
  ASSERT_EQ(json["rows"].size(), 8u);
  for (const auto& row : json["rows"]) {
    EXPECT_GT(row["dense_ms"].get<double>(), 0);
    ASSERT_EQ(row["densities"].size(), 3u);
    EXPECT_EQ(row["densities"][2]["voxels"], 32 * 32 * 32);
    EXPECT_EQ(row["densities"][1]["voxels"], 32 * 32 * 16);
    for (const char* field : {"crossover", "crossover_with_map"})
      EXPECT_TRUE(row[field].is_null() || (row[field] >= 0.05 && row[field] <= 1.0)) << row;
  }
  EXPECT_THAT(run("bench crossover --dims 2 --channels 4 --patterns surface --densities 0.1,1").out, HasSubstr("3x3 "));
}

TEST_F(Program, bench_self_check_proves_every_variant_of_this_cpu) {
  const Result result = run("bench --self-check --json");
  EXPECT_EQ(result.code, 0) << result.err;
  const auto json = result.json();
  EXPECT_TRUE(json["passed"].get<bool>());
  int ran = 0;
  for (const auto& variant : json["variants"]) {
    if (!variant["ran"].get<bool>()) {
      EXPECT_THAT(variant["why"].get<std::string>(), HasSubstr("this CPU"));
      continue;
    }
    ++ran;
    for (const auto& check : variant["checks"])
      EXPECT_LE(check["error"].get<double>(), check["tolerance"].get<double>()) << variant << check;
  }
  EXPECT_GE(ran, 5);  // convolution, 16 bits and 8 bits in one variant at least, batch norm, sparse
  EXPECT_THAT(run("bench --self-check").out, HasSubstr("weight gradient"));
}

TEST_F(Program, quantize_writes_a_model_that_labels_scans) {
  write_street("a.bin");
  const auto inspected = run("inspect --builder minkunet --width 0.2 --voxel 0.2 --save m.safetensors");
  ASSERT_EQ(inspected.code, 0) << inspected.err;
  const Result result = run("quantize --model m.safetensors --data a.bin --out q.safetensors --threads 1 --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = result.json();
  EXPECT_EQ(json["scans"], 1);
  EXPECT_EQ(json["layers"].get<int>() + 1, json["layers_in_all"].get<int>());
  EXPECT_GT(json["features"].size(), 20u);
  for (const auto& feature : json["features"]) EXPECT_GT(feature["scale"].get<double>(), 0.0) << feature;
  const auto labelled = run("segment a.bin --model q.safetensors --json --threads 2 --labels-out a.label");
  ASSERT_EQ(labelled.code, 0) << labelled.err;
  EXPECT_THAT(run("inspect q.safetensors").out, HasSubstr("8 bits, mse over 1 scans"));
  EXPECT_THAT(run("quantize --model q.safetensors --data a.bin --out again.safetensors").err,
              HasSubstr("quantized already"));
  const Result missing = run("quantize --model m.safetensors --data nowhere --out x.safetensors");
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("nowhere"));
  EXPECT_EQ(run("quantize --model m.safetensors --data a.bin --bits 9 --out x.safetensors").code, 2);
}

TEST_F(Program, compress_leads_voxels_around_blocks) {
  write_street("a.bin");
  ASSERT_EQ(run("inspect --builder minkunet --width 0.2 --voxel 0.2 --save m.safetensors").code, 0);
  const std::string common = "compress --what voxels --model m.safetensors --data a.bin --threads 1 --repetitions 1 ";
  for (const char* how : {"", "--score learned ", "--keep all ", "--share-scores "}) {
    const Result result = run(common + how + "--ratio up3=0.5 --ratio up4=0.25 --out v.safetensors --json");
    ASSERT_EQ(result.code, 0) << result.err;
    const auto json = result.json();
    EXPECT_EQ(json["ratios"]["up4"], 0.25);
    EXPECT_NEAR(json["left_out_mean"].get<double>(), (2 * 0.5 + 2 * 0.25) / 16, 0.002) << how;
    EXPECT_LT(json["macs"]["after"].get<double>(), json["macs"]["before"].get<double>());
  }
  const Result labelled = run("segment a.bin --model v.safetensors --json --threads 2");
  ASSERT_EQ(labelled.code, 0) << labelled.err;
  EXPECT_THAT(run("inspect v.safetensors").out, HasSubstr("up3=0.5, up4=0.25"));
  EXPECT_THAT(run(common + "--ratio 0.5 --out all.safetensors").out, HasSubstr("50.0 % are left out"));
  for (const char* wrong : {"--ratio 1", "--ratio -0.5", "--ratio up3=x", "--ratio up9=0.5", "", "--budget 1us"}) {
    const Result refused = run(common + wrong + " --out x.safetensors");
    EXPECT_EQ(refused.code, 2) << wrong << refused.err;
  }
  // Ahead and inside, place and cells; then one threshold per block; then what eval says of the blocks.
  const Result ours = run(common +
                          "--score learned --spread 0.3 --surroundings cells --ahead 0.5 --ratio up4=0.5 "
                          "--out ours.safetensors --json");
  ASSERT_EQ(ours.code, 0) << ours.err;
  const auto blocks = ours.json()["blocks"];
  EXPECT_EQ(blocks.back()["block"], "up4.res2");
  EXPECT_NEAR(blocks.back()["left_out"].get<double>(), 0.75, 0.01);
  const Result thresholds = run(
      "compress --what thresholds --model ours.safetensors --data a.bin --repetitions 1 --out t.safetensors --json");
  ASSERT_EQ(thresholds.code, 0) << thresholds.err;
  EXPECT_NEAR(thresholds.json()["left_out_mean"].get<double>(), 0.0, 0.01);  // against the shares, on the same scan
  EXPECT_THAT(run("inspect t.safetensors").out, HasSubstr("one threshold over all scans"));
  const Result searched = run(common + "--left-out 0.3 --by classes --score random --out l.safetensors --json");
  ASSERT_EQ(searched.code, 0) << searched.err;
  EXPECT_NEAR(searched.json()["left_out_mean"].get<double>(), 0.3, 0.02);
  EXPECT_EQ(searched.json()["table"].size(), 72u);
  for (const char* wrong : {"--ahead 1 --ratio 0.5", "--spread 1 --ratio 0.5", "--left-out 0.95",
                            "--cell 1 --ratio 0.5", "--left-out 0.5 --ratio 0.5"})
    EXPECT_EQ(run(common + wrong + " --out x.safetensors").code, 2) << wrong;
  EXPECT_EQ(run("compress --what thresholds --model m.safetensors --data a.bin --out x.safetensors").code, 1);
  const auto offsets = run("compress --what offsets --model m.safetensors --data a.bin --ratio 0.3 --repetitions 1 "
                           "--out o.safetensors --json")
                           .json();
  EXPECT_LT(offsets["macs"]["after"].get<double>(), 0.9 * offsets["macs"]["before"].get<double>());
  EXPECT_EQ(offsets["maps"].size(), 5u);
  EXPECT_EQ(run("segment a.bin --model o.safetensors --json").code, 0);
  EXPECT_EQ(run("compress --what offsets --model m.safetensors --data a.bin --budget 1s --out x.safetensors").code, 2);
  const Result fastest = run(common + "--budget 0.01ms --out x.safetensors");
  EXPECT_EQ(fastest.code, 2);
  EXPECT_THAT(fastest.err, HasSubstr("the fastest found takes"));
}

TEST_F(Program, quantize_to_16_bits_writes_half_a_model_that_runs_without_a_flag) {
  write_street("a.bin");
  ASSERT_EQ(run("inspect --builder minkunet_small --voxel 0.2 --save m.safetensors").code, 0);
  const Result result = run("quantize --model m.safetensors --bits 16 --out h.safetensors --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = result.json();
  EXPECT_EQ(json["layers"], json["layers_in_all"]);
  EXPECT_LT(json["weight_bytes"].get<double>(), 0.55 * json["weight_bytes_before"].get<double>());
  EXPECT_LT(static_cast<double>(std::filesystem::file_size(path("h.safetensors"))),
            0.7 * static_cast<double>(std::filesystem::file_size(path("m.safetensors"))));
  EXPECT_THAT(run("inspect h.safetensors").out, HasSubstr("16 bits, floating point"));
  const Result labelled = run("segment a.bin --model h.safetensors --json --threads 2 --labels-out a.label");
  ASSERT_EQ(labelled.code, 0) << labelled.err;
  const auto bench =
      run("bench model --model h.safetensors --scan a.bin --threads 1 --repetitions 1 --profile --json").json();
  int halves = 0;
  for (const auto& step : bench["profile"])
    halves += step["variant"].get<std::string>().find("_half") != std::string::npos ? 1 : 0;
  EXPECT_EQ(halves, json["layers"].get<int>());
  const Result calibrated = run("quantize --model m.safetensors --bits 16 --data a.bin --out x.safetensors");
  EXPECT_EQ(calibrated.code, 2);
  EXPECT_THAT(calibrated.err, HasSubstr("need no calibration"));
  const Result scans = run("quantize --model m.safetensors --out x.safetensors");
  EXPECT_EQ(scans.code, 2);
  EXPECT_THAT(scans.err, HasSubstr("--data is missing"));
}

TEST_F(Program, quantize_auto_says_what_became_of_each_layer_and_why) {
  write_street("a.bin");
  ASSERT_EQ(run("inspect --builder minkunet --width 0.2 --voxel 0.2 --save m.safetensors").code, 0);
  const std::string common = "quantize --model m.safetensors --data a.bin --bits auto --repetitions 1 --threads 1 ";
  const Result result = run(common + "--loss 1 --out q.safetensors --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = result.json();
  EXPECT_EQ(json["bits"], "auto");
  EXPECT_EQ(json["choice"].size(), json["layers_in_all"].get<std::size_t>());
  int on_integers = 0;
  for (const auto& layer : json["choice"]) {
    EXPECT_FALSE(layer["why"].get<std::string>().empty());
    EXPECT_GT(layer["ms_real"].get<double>(), 0.0) << layer;
    on_integers += layer["bits"] != 0 ? 1 : 0;
  }
  EXPECT_EQ(json["layers"], on_integers);
  EXPECT_EQ(json["choice"][0]["why"], "reads the network's input");
  EXPECT_TRUE(json["choice"][0]["group"].is_null());
  EXPECT_LE(json["labels_changed"]["chosen"].get<double>(), json["labels_changed"]["eight"].get<double>() + 0.01);
  EXPECT_LE(json["network_ms"]["chosen"].get<double>(), json["network_ms"]["real"].get<double>());
  EXPECT_EQ(run("segment a.bin --model q.safetensors --json --threads 2").code, 0);
  const Result table = run(common + "--out t.safetensors");
  ASSERT_EQ(table.code, 0) << table.err;
  for (const char* part : {"layer", "ms real", "ms integers", "sensitivity", "stem.conv2", "up4.res2.conv2",
                           "classifier", "Labels that change", "on real numbers"})
    EXPECT_THAT(table.out, HasSubstr(part));
  EXPECT_THAT(run("inspect t.safetensors").out, HasSubstr("timed on"));
}

TEST_F(Program, quantize_bad_bits_and_layers_are_named) {
  write_street("a.bin");
  ASSERT_EQ(run("inspect --builder minkunet --width 0.2 --voxel 0.2 --save m.safetensors").code, 0);
  const std::string common = "quantize --model m.safetensors --data a.bin --out x.safetensors ";
  expect_error(common + "--bits nine", 2, {"2 to 8, or auto", "nine"});
  expect_error(common + "--bits auto --loss 200", 2, {"--loss"});
  expect_error(common + "--bits auto --layers-real classifier", 2, {"--layers-real", "finds such layers itself"});
  expect_error(common + "--layers-real stem.conv2,clasifier", 2, {"clasifier", "classifier"});
  const auto json = run(common + "--layers-real stem.conv2,classifier --json").json();
  EXPECT_EQ(json["layers"].get<int>() + 3, json["layers_in_all"].get<int>());
}

TEST_F(Program, profiles_say_which_layers_keep_real_numbers) {
  write_street("a.bin");
  Model model = Model::load(path("net.safetensors"));
  std::string layer;
  for (const Node& node : model.graph().nodes())
    if (node.op == "sparse_conv") layer = node.name;
  model.notes["kept_real." + layer] = "faster here: 1.000 ms, on integers 2.000 ms (a CPU)";
  model.save(path("kept.safetensors"));
  const std::string command = "bench model --model kept.safetensors --scan a.bin --repetitions 1 --threads 1 --profile";
  EXPECT_THAT(run(command).out, HasSubstr("kept real numbers: faster here: 1.000 ms, on integers 2.000 ms (a CPU)"));
  int noted = 0;
  const auto profile = run(command + " --json").json()["profile"];
  for (const auto& step : profile) {
    if (!step.contains("note")) continue;
    ++noted;
    EXPECT_EQ(step["name"], layer);
  }
  EXPECT_EQ(noted, 1);
  ASSERT_EQ(run("segment a.bin --model kept.safetensors --report a.html --threads 1").code, 0);
  std::ifstream page(path("a.html"));
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(page), {}), HasSubstr("kept real numbers"));
}

TEST_F(Program, bench_precision_compares_fp32_with_16_bits_and_integers) {
  write_street("a.bin");
  const auto json =
      run("bench precision --builder minkunet --width 0.2 --voxel 0.2 --scan a.bin --repetitions 1 --threads 1 --json")
          .json();
  ASSERT_EQ(json["rows"].size(), 4u);
  EXPECT_EQ(json["rows"][0]["precision"], "fp32");
  EXPECT_EQ(json["rows"][0]["same_labels"], 1.0);
  EXPECT_EQ(json["rows"][1]["precision"], "fp16");
  EXPECT_GT(json["rows"][1]["same_labels"].get<double>(), 0.95);
  EXPECT_EQ(json["rows"][2]["precision"], "int8");
  for (const auto& row : json["rows"]) {
    EXPECT_GT(row["ms"].get<double>(), 0.0);
    EXPECT_GT(row["same_labels"].get<double>(), 0.5);
  }
  for (const int row : {1, 2})
    EXPECT_LT(json["rows"][row]["memory_mb"].get<double>(), json["rows"][0]["memory_mb"].get<double>());
}

TEST_F(Program, bench_ablation_compares_after_both_gave_the_same) {
  write_street("a.bin");
  const Result result =
      run("bench ablation --scan a.bin --voxel 0.2 --width 0.125 --channels 8 --levels 0,1 --repetitions 1 --threads 2 "
          "--json");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto rows = result.json()["rows"];
  EXPECT_GE(rows.size(), 10u);  // four per level, fusion and buffers
  for (const auto& row : rows)
    EXPECT_NEAR(row["gain"].get<double>(), row["without_ms"].get<double>() / row["ms"].get<double>(), 1e-9);
}

TEST_F(Program, bench_model_reports_consistent_figures) {
  write_street("a.bin");
  const auto json =
      run("bench model --builder minkunet_small --scan a.bin --threads 2 --repetitions 2 --json --voxel 0.2").json();
  const double total = json["ms"]["total"].get<double>();
  EXPECT_NEAR(json["of_peak"].get<double>(),
              2e-6 * json["macs"].get<double>() / total / (2 * json["peak_gflops"]["fp32"].get<double>()), 1e-9);
  EXPECT_LE(json["ms"]["network"].get<double>(), total);
  EXPECT_GT(json["peak_memory_mb"].get<double>(), 1);
  EXPECT_GT(json["parameters"].get<std::int64_t>(), 1000);
}

TEST_F(Program, train_runs_the_program_beside_it) {
  // A copy, so that what a build left beside the real one does not matter.
  std::filesystem::copy_file(RAREFY_PROGRAM, path("rarefy"));
  const Result missing = shell("PATH=/nowhere exec ./rarefy train --epochs 3");
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("rarefy: train needs the program rarefy-train"));
  std::ofstream(path("rarefy-train")) << "#!/bin/sh\necho \"$@\"\nexit 7\n";
  std::filesystem::permissions(path("rarefy-train"), std::filesystem::perms::owner_all);
  const Result result = shell("exec ./rarefy train --help --epochs 3 data 'a b'");
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "--help --epochs 3 data a b\n");
}

#ifdef RAREFY_HAS_SIMULATOR
TEST_F(Program, simulate_writes_a_data_set_and_continues_it) {
  const Result first = run("simulate lidar --out world --streets 1 --frames 1 --first-street 3 --seed 5 --json");
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.json()["written"], 1);
  EXPECT_EQ(run("simulate lidar --out world --streets 1 --frames 1 --first-street 3 --seed 5 --json").json()["skipped"],
            1);
  const auto json = run("eval world --json").json();
  EXPECT_EQ(json["scans"], 1);
  EXPECT_GT(json["points"].get<std::int64_t>(), 50000);
  expect_error("simulate lidar --streets 1", 2, {"--out"});
  expect_error("simulate lidar --out other --without colour", 2, {"'colour'", "porous_vegetation", "street_variety"});
}
#endif

}  // namespace
}  // namespace rarefy::test
