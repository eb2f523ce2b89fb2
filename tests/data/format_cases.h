#pragma once
/// Small files of every kind, made by hand, for the tests of the parsers.
#include <cstring>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "data/scan.h"

namespace rarefy::test {

/// A scan with distinct values everywhere.
inline Scan small_scan(std::int64_t points, std::uint64_t seed = 1) {
  Rng rng(seed);
  Scan scan;
  for (std::int64_t i = 0; i < points; ++i) {
    for (int axis = 0; axis < 3; ++axis) scan.xyz.push_back(static_cast<float>(rng.uniform(-80.0, 80.0)));
    scan.intensity.push_back(static_cast<float>(rng.uniform()));
    scan.labels.push_back(static_cast<std::uint32_t>(i % 3 == 0 ? 252 : 40) | static_cast<std::uint32_t>(i % 5) << 16);
  }
  return scan;
}

inline std::string text_of(const std::vector<Bytes>& chunks) {
  std::string all;
  for (const Bytes& chunk : chunks) all.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
  return all;
}

/// The bytes of a number, in either order.
template <class T>
std::string raw(T value, bool big_endian = false) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return big_endian ? std::string(bytes.rbegin(), bytes.rend()) : bytes;
}

/// LZF by literals and back references to the previous byte run: short, but it takes every branch of the decoder.
inline std::string lzf_pack(const std::string& text) {
  std::string packed;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t length = 0, from = 0;
    for (std::size_t back = at > 8192 ? at - 8192 : 0; back < at; ++back) {
      std::size_t n = 0;
      while (n < 264 && at + n < text.size() && text[back + n] == text[at + n]) ++n;
      if (n > length) length = n, from = back;
    }
    if (length >= 3) {
      const std::size_t distance = at - from - 1, coded = length - 2;
      packed += static_cast<char>((coded < 7 ? coded : 7) << 5 | distance >> 8);
      if (coded >= 7) packed += static_cast<char>(coded - 7);
      packed += static_cast<char>(distance & 255);
      at += length;
    } else {
      packed += '\0';
      packed += text[at++];
    }
  }
  return packed;
}

/// One file in memory.
struct FileCase {
  std::string name;  ///< its extension decides the format
  std::string content;
  std::int64_t points = 0;
  bool cut_detected = true;  ///< every proper prefix is an error (formats without a header cannot know)
};

inline std::vector<FileCase> file_cases() {
  const std::string ply_fields = "property float x\nproperty float y\nproperty float z\n";
  const auto three = [](float x, float y, float z, bool big) { return raw(x, big) + raw(y, big) + raw(z, big); };
  std::vector<FileCase> cases;
  cases.push_back({"two.bin", three(1, 2, 3, false) + raw(0.5f) + three(4, 5, 6, false) + raw(0.25f), 2, false});
  cases.push_back({"one.pcd.bin", three(1, 2, 3, false) + raw(51.0f) + raw(7.0f), 1, false});
  cases.push_back(
      {"ascii.ply",
       "ply\nformat ascii 1.0\ncomment hello\nelement camera 1\nproperty list uchar int idx\nelement vertex 2\n" +
           ply_fields +
           "property uchar intensity\nproperty ushort label\nend_header\n2 7 8\n1 2 3 51 40\n4 5 "
           "nan 255 252\n",
       2, false});
  cases.push_back({"little.ply",
                   "ply\nformat binary_little_endian 1.0\nelement vertex 2\n" + ply_fields +
                       "property float scalar_Intensity\nend_header\n" + three(1, 2, 3, false) + raw(0.5f) +
                       three(4, 5, 6, false) + raw(0.25f),
                   2});
  cases.push_back({"big.ply",
                   "ply\r\nformat binary_big_endian 1.0\r\nelement face 1\r\nproperty list uchar int vertex_indices\r\n"
                   "element vertex 2\r\nproperty double x\r\nproperty double y\r\nproperty double z\r\nproperty ushort "
                   "label\r\nend_header\r\n\x02" +
                       raw(1, true) + raw(2, true) + raw(1.0, true) + raw(2.0, true) + raw(3.0, true) +
                       raw(std::uint16_t{40}, true) + raw(4.0, true) + raw(5.0, true) + raw(6.0, true) +
                       raw(std::uint16_t{252}, true),
                   2});
  const std::string pcd_head =
      "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z pad intensity\nSIZE 4 4 4 1 4\nTYPE F F F U F\nCOUNT 1 1 1 3 1\n"
      "WIDTH 2\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\nDATA ";
  const std::string pad = "\x01\x02\x03";
  cases.push_back({"ascii.pcd", pcd_head + "ascii\n1 2 3 0 0 0 0.5\n4 5 6 0 0 0 0.25\n", 2, false});
  cases.push_back(
      {"binary.pcd",
       pcd_head + "binary\n" + three(1, 2, 3, false) + pad + raw(0.5f) + three(4, 5, 6, false) + pad + raw(0.25f), 2});
  const std::string columns =
      raw(1.0f) + raw(4.0f) + raw(2.0f) + raw(5.0f) + raw(3.0f) + raw(6.0f) + pad + pad + raw(0.5f) + raw(0.25f);
  const std::string packed = lzf_pack(columns);
  cases.push_back({"compressed.pcd",
                   pcd_head + "binary_compressed\n" + raw(static_cast<std::uint32_t>(packed.size())) +
                       raw(static_cast<std::uint32_t>(columns.size())) + packed,
                   2});
  std::string npy = std::string("\x93NUMPY\x01\x00", 8);
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }\n";
  npy += raw(static_cast<std::uint16_t>(header.size())) + header + three(1, 2, 3, false) + raw(0.5f) +
         three(4, 5, 6, false) + raw(0.25f);
  cases.push_back({"two.npy", npy, 2});
  return cases;
}

}  // namespace rarefy::test
