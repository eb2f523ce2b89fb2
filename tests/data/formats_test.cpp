#include "data/formats/formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "data/format_cases.h"
#include "data/formats/npy_array.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

using test::FileCase;
using test::raw;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string parse_message(const std::string& name, const std::string& content, const LoadOptions& options = {}) {
  try {
    parse_scan(bytes_of(content), name, options);
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

std::string ply(const std::string& header, const std::string& body) {
  return "ply\nformat ascii 1.0\n" + header + "end_header\n" + body;
}

TEST(Formats, every_case_gives_its_points) {
  for (const FileCase& c : test::file_cases()) {
    SCOPED_TRACE(c.name);
    const Scan scan = parse_scan(bytes_of(c.content), c.name);
    ASSERT_EQ(scan.size(), c.points);
    EXPECT_THAT(std::vector<float>(scan.xyz.begin(), scan.xyz.begin() + 3), ElementsAre(1.0f, 2.0f, 3.0f));
    EXPECT_THAT(scan.notices, IsEmpty());
    if (c.points == 2) {
      EXPECT_EQ(scan.xyz[4], 5.0f);
    }
  }
}

TEST(Formats, intensity_and_labels_arrive) {
  for (const FileCase& c : test::file_cases()) {
    SCOPED_TRACE(c.name);
    const Scan scan = parse_scan(bytes_of(c.content), c.name);
    if (c.name == "big.ply") {
      EXPECT_THAT(scan.intensity, IsEmpty());
      EXPECT_THAT(scan.labels, ElementsAre(40u, 252u));
    } else if (c.name == "ascii.ply") {
      EXPECT_THAT(scan.intensity, ElementsAre(0.2f, 1.0f));
      EXPECT_THAT(scan.labels, ElementsAre(40u, 252u));
      EXPECT_TRUE(std::isnan(scan.xyz[5]));
    } else if (c.name == "one.pcd.bin") {
      EXPECT_THAT(scan.intensity, ElementsAre(0.2f));
    } else {
      EXPECT_THAT(scan.intensity, ElementsAre(0.5f, 0.25f));
    }
  }
}

TEST(Formats, cut_files_are_errors_at_every_byte) {
  for (const FileCase& c : test::file_cases())
    for (std::size_t length = 0; length < c.content.size(); ++length) {
      const std::string cut = c.content.substr(0, length);
      try {
        parse_scan(bytes_of(cut), c.name);
        EXPECT_FALSE(c.cut_detected) << c.name << " cut to " << length << " bytes was accepted";
      } catch (const InputError& e) {
        EXPECT_THAT(e.what(), HasSubstr(c.name + ": "));
      }
    }
}

TEST(Formats, ascii_files_that_lose_a_number_are_errors) {
  for (const FileCase& c : test::file_cases()) {
    if (!c.name.starts_with("ascii")) continue;
    const std::string cut = c.content.substr(0, c.content.find_last_of(' '));
    EXPECT_THAT(parse_message(c.name, cut), HasSubstr("it is cut off"));
  }
}

TEST(Formats, damaged_bytes_parse_or_are_refused) {
  for (const FileCase& c : test::file_cases())
    for (std::size_t at = 0; at < c.content.size(); ++at)
      for (const int flip : {0x01, 0x20, 0x80, 0xFF}) {
        std::string damaged = c.content;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        try {
          parse_scan(bytes_of(damaged), c.name);
        } catch (const InputError&) {
        }
      }
}

TEST(Formats, errors_say_where_expected_and_found) {
  EXPECT_THAT(parse_message("a.bin", std::string(33, 'x')), HasSubstr("a.bin: 33 bytes, expected a multiple of 16"));
  EXPECT_THAT(parse_message("a.bin", std::string(20, 'x')), HasSubstr("the size fits 'nuscenes'"));
  EXPECT_THAT(parse_message("a.pcd.bin", std::string(32, 'x')), HasSubstr("the size fits 'kitti'"));
  EXPECT_THAT(parse_message("a.xyz", ""), HasSubstr("known format; say which one it is: kitti (.bin), npy (.npy)"));
  EXPECT_THAT(parse_message("a.bin", "", {.format = "las"}),
              HasSubstr("unknown format 'las' for a.bin; known are: kitti"));
  EXPECT_THAT(parse_message("a.ply", "PLY"), HasSubstr("a.ply: line 1: expected 'ply', found 'PLY'"));
  EXPECT_THAT(parse_message("a.ply", ply("element vertex 1\nproperty float x\nproperty float y\n", "1 2")),
              HasSubstr("a.ply: line 3: no field 'z' among: x y"));
  EXPECT_THAT(
      parse_message("a.ply", ply("element vertex 1\nproperty float x\nproperty float y\nproperty float z\n", "1 2 q")),
      HasSubstr("a.ply: line 8: 'z' should be a number, found 'q'"));
  EXPECT_THAT(parse_message("a.ply", ply("element vertex 1\nproperty half x\n", "")),
              HasSubstr("unknown property type 'half'"));
  EXPECT_THAT(parse_message("a.ply", ply("element face 0\n", "")), HasSubstr("no 'element vertex'"));
  EXPECT_THAT(parse_message("a.ply", ply("element vertex 1\nproperty list uchar float x\n", "")),
              HasSubstr("list property"));
  EXPECT_THAT(parse_message("a.ply", ply("element vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
                                         "property int label\n",
                                         "1 2 3 -4")),
              HasSubstr("line 9: label is -4, expected a whole number from 0 to 4294967295"));
  EXPECT_THAT(parse_message("a.pcd", "VERSION 0.7\nNONSENSE\n"),
              HasSubstr("a.pcd: line 2: expected an entry of a PCD header"));
  EXPECT_THAT(parse_message("a.pcd", "FIELDS x y z\nSIZE 4 4\nTYPE F F F\nDATA ascii\n"),
              HasSubstr("a.pcd: line 2: SIZE has 2 values, expected 3"));
  EXPECT_THAT(parse_message("a.pcd", "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 3\nPOINTS 5\nDATA ascii\n"),
              HasSubstr("a.pcd: line 6: POINTS is 5, but WIDTH times HEIGHT is 6"));
  EXPECT_THAT(parse_message("a.npy", "nonsense and more"),
              HasSubstr("a.npy: byte 0: expected the mark of a NumPy file"));
}

TEST(Formats, absurd_headers_are_refused_before_allocation) {
  const std::string xyz = "property float x\nproperty float y\nproperty float z\n";
  for (const char* count : {"2147483647", "4294967296", "9223372036854775807", "18446744073709551615", "1e9", "-1",
                            "18446744073709551616"}) {
    SCOPED_TRACE(count);
    for (const char* encoding : {"ascii", "binary_little_endian"}) {
      EXPECT_THAT(parse_message("a.ply", std::string("ply\nformat ") + encoding + " 1.0\nelement vertex " + count +
                                             "\n" + xyz + "end_header\n1 2 3 4 5 6 7 8 9"),
                  HasSubstr("a.ply: "));
    }
    for (const char* encoding : {"ascii", "binary", "binary_compressed"}) {
      const std::string head = std::string("FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH ") + count +
                               "\nHEIGHT 1\nDATA " + encoding + "\n1 2 3 4 5 6 7 8 9";
      EXPECT_THAT(parse_message("a.pcd", head), HasSubstr("a.pcd: "));
    }
  }
  EXPECT_THAT(
      parse_message("a.ply",
                    "ply\nformat binary_little_endian 1.0\nelement empty 18446744073709551615\nelement vertex 0\n" +
                        xyz + "end_header\n"),
      HasSubstr("nothing was thrown"));
  EXPECT_THAT(
      parse_message("a.pcd", "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 4294967296\nHEIGHT 4294967296\nDATA ascii\n"),
      HasSubstr("far too large"));
  EXPECT_THAT(parse_message(
                  "a.pcd", "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 100000000\nHEIGHT 1\nDATA binary_compressed\n" +
                               raw(std::uint32_t{4}) + raw(std::uint32_t{1200000000}) + "abcd"),
              HasSubstr("cannot come out of 4 compressed ones"));
}

TEST(Formats, strict_mode_names_what_is_not_finite) {
  Scan scan = test::small_scan(5);
  scan.xyz[7] = std::nanf("");
  scan.xyz[9] = INFINITY;
  EXPECT_EQ(count_not_finite(scan), 2);
  const std::string content = test::text_of(find_scan_format("a.bin", "auto").write(scan));
  EXPECT_EQ(count_not_finite(parse_scan(bytes_of(content), "a.bin")), 2);
  EXPECT_THAT(parse_message("a.bin", content, {.strict = true}),
              HasSubstr("a.bin: point 2 has a coordinate that is not finite (nan), 2 of 5 points"));
}

TEST(Formats, trailing_bytes_are_a_notice_or_an_error) {
  for (const FileCase& c : test::file_cases()) {
    if (c.name != "little.ply" && c.name != "binary.pcd" && c.name != "compressed.pcd" && c.name != "ascii.pcd")
      continue;
    SCOPED_TRACE(c.name);
    const Scan scan = parse_scan(bytes_of(c.content + "12345"), c.name);
    EXPECT_THAT(scan.notices, ElementsAre("5 bytes after the last point were ignored"));
    EXPECT_THAT(parse_message(c.name, c.content + "12345", {.strict = true}),
                HasSubstr("5 bytes follow the last of 2 points"));
  }
}

TEST(Formats, intensity_is_brought_to_one) {
  Scan scan = test::small_scan(3);
  const auto read_back = [&](float largest) {
    scan.intensity = {0.0f, 0.5f, largest};
    const std::string content = test::text_of(find_scan_format("a.bin", "auto").write(scan));
    return parse_scan(bytes_of(content), "a.bin");
  };
  EXPECT_EQ(read_back(1.0f).intensity[2], 1.0f);
  EXPECT_EQ(read_back(255.0f).intensity[2], 1.0f);
  EXPECT_EQ(read_back(51.0f).intensity[2], 0.2f);
  EXPECT_THAT(read_back(51.0f).notices, ElementsAre(HasSubstr("taken as 0..255")));
  EXPECT_EQ(read_back(65535.0f).intensity[2], 1.0f);
  EXPECT_EQ(read_back(std::nanf("")).intensity[2], 0.0f);
  EXPECT_THROW(read_back(1e6f), InputError);
}

class SavedScan : public ::testing::TestWithParam<const char*> {};

TEST_P(SavedScan, reads_back_equal) {
  const std::string folder = ::testing::TempDir() + "rarefy_formats_" + std::to_string(::getpid());
  make_directories(folder);
  const std::string path = join_path(folder, std::string("scan") + GetParam());
  for (const std::int64_t points : {0, 1, 1000}) {
    Scan scan = test::small_scan(points);
    save_scan(path, scan);
    Scan back = load_scan(path, {.strict = true});
    EXPECT_EQ(back.xyz, scan.xyz);
    EXPECT_EQ(back.intensity, scan.intensity);
    const std::string extension = GetParam();
    const bool has_labels = extension == ".ply" || extension == ".pcd" || extension == ".npz";
    EXPECT_EQ(back.labels, has_labels ? scan.labels : std::vector<std::uint32_t>());
    scan.intensity.clear();
    scan.labels.clear();
    save_scan(path, scan);
    back = load_scan(path);
    EXPECT_EQ(back.xyz, scan.xyz);
    EXPECT_THAT(back.labels, IsEmpty());
    const bool has_column = extension == ".bin" || extension == ".BIN";
    EXPECT_EQ(back.intensity, std::vector<float>(has_column ? static_cast<std::size_t>(points) : 0, 0.0f));
  }
  std::filesystem::remove_all(folder);
}
INSTANTIATE_TEST_SUITE_P(Extensions, SavedScan, ::testing::Values(".bin", ".npy", ".npz", ".ply", ".pcd", ".BIN"),
                         [](const auto& info) { return "f" + std::to_string(info.index); });

TEST(SavedScan, refuses_what_cannot_be_written) {
  Scan scan = test::small_scan(3);
  EXPECT_THROW(save_scan("/tmp/x.pcd.bin", scan), UsageError);
  scan.labels.pop_back();
  EXPECT_THROW(save_scan("/tmp/x.ply", scan), InputError);
  EXPECT_THROW(save_ply("/tmp/x.ply", test::small_scan(3), std::vector<Rgb>(2)), InputError);
}

TEST(SavedPly, header_and_colours) {
  const std::string path = ::testing::TempDir() + "rarefy_colours_" + std::to_string(::getpid()) + ".ply";
  Scan scan = test::small_scan(2);
  scan.labels = {40, 81};
  save_ply(path, scan);
  const std::string text = read_text(path);
  EXPECT_THAT(text, HasSubstr("property float scalar_intensity\nproperty float scalar_label\nproperty uchar red\n"));
  EXPECT_EQ(text.substr(text.size() - 3), std::string("\xFF\x00\x00", 3));  // traffic-sign
  save_ply(path, scan, std::vector<Rgb>{{1, 2, 3}, {4, 5, 6}});
  EXPECT_EQ(read_text(path).substr(text.size() - 3), "\x04\x05\x06");
  std::filesystem::remove(path);
}

TEST(LabelFiles, sizes_are_checked_against_the_scan) {
  const std::string bytes(12, '\x01');
  EXPECT_EQ(parse_labels(bytes_of(bytes), "a.label", 3).size(), 3u);
  EXPECT_EQ(parse_labels(bytes_of(bytes), "a.label")[0], 0x01010101u);
  try {
    parse_labels(bytes_of(bytes), "a.label", 4);
    FAIL();
  } catch (const InputError& e) {
    EXPECT_THAT(e.what(), HasSubstr("a.label: 3 labels, but the scan has 4 points (expected 16 bytes, found 12)"));
  }
  EXPECT_THROW(parse_labels(bytes_of(bytes.substr(1)), "a.label"), InputError);
}

TEST(RealScans, sizes_and_ranges) {
  const char* data = std::getenv("RAREFY_DATA");
  if (data == nullptr) GTEST_SKIP() << "needs real scans: set RAREFY_DATA";
  const std::string lidar = join_path(data, "lidar");
  const Scan kitti = load_scan(join_path(lidar, "kitti/velodyne/000001.bin"), {.strict = true});
  EXPECT_EQ(kitti.size(), 120268);
  EXPECT_THAT(kitti.notices, IsEmpty());
  for (const std::string& path : expand_pattern(join_path(lidar, "nuscenes/*.pcd.bin"))) {
    const Scan sweep = load_scan(path, {.strict = true});
    EXPECT_GT(sweep.size(), 34000);
    EXPECT_THAT(sweep.notices, IsEmpty());
    EXPECT_LE(*std::max_element(sweep.intensity.begin(), sweep.intensity.end()), 1.0f);
  }
  EXPECT_EQ(load_scan(join_path(lidar, "spconv/benchmark-pc.npz")).size(), 198130);
  EXPECT_EQ(load_scan(join_path(lidar, "semantickitti_xyz/points_000700.npy")).size(), 85962);
  const std::string sequence = join_path(lidar, "semantickitti/sequences/00");
  const Scan scan = load_scan(join_path(sequence, "velodyne/000000.bin"));
  EXPECT_EQ(load_labels(join_path(sequence, "labels/000000.label"), scan.size()).size(), 124668u);
}

}  // namespace
}  // namespace rarefy
