#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "data/format_cases.h"
#include "data/formats/detail/scalar.h"
#include "data/formats/npy_array.h"
#include "rarefy/error.h"

namespace rarefy {
namespace {

using test::raw;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string npy(const std::string& header, const std::string& data) {
  return std::string("\x93NUMPY\x01\x00", 8) + raw(static_cast<std::uint16_t>(header.size())) + header + data;
}
NpyArray parse(const std::string& content) { return parse_npy(bytes_of(content), "a.npy"); }

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Npy, round_trip_of_every_type) {
  for (const NpyType type : {NpyType::i8, NpyType::u8, NpyType::i16, NpyType::u16, NpyType::i32, NpyType::u32,
                             NpyType::i64, NpyType::u64, NpyType::f16, NpyType::f32, NpyType::f64, NpyType::boolean}) {
    Bytes data(6 * size_of(type));
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i % 2);
    const NpyArray array(type, {2, 3}, data);
    const std::string content = test::text_of({npy_header(array), array.data()});
    EXPECT_EQ((npy_header(array).size()) % 64, 0u);
    const NpyArray back = parse(content);
    EXPECT_EQ(back.type(), type);
    EXPECT_EQ(back.shape(), array.shape());
    EXPECT_EQ(back.data(), data);
  }
}

TEST(Npy, shapes_of_any_rank) {
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{}, {0}, {1}, {5, 0}, {2, 3, 4}}) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : shape) elements *= extent;
    const NpyArray array(NpyType::f32, shape, Bytes(static_cast<std::size_t>(4 * elements)));
    EXPECT_EQ(parse(test::text_of({npy_header(array), array.data()})).shape(), shape);
  }
}

TEST(Npy, byte_order_fortran_order_and_spelling) {
  EXPECT_THAT(parse(npy("{'descr': '>i4', 'fortran_order': False, 'shape': (2,)}", raw(1, true) + raw(-2, true)))
                  .as<std::int32_t>(),
              ElementsAre(1, -2));
  EXPECT_THAT(
      parse(npy("{\"shape\": (2L, 3L), 'fortran_order': True, 'descr': '|u1'}\n", "adbecf")).data(),
      ElementsAre(std::byte{'a'}, std::byte{'b'}, std::byte{'c'}, std::byte{'d'}, std::byte{'e'}, std::byte{'f'}));
  EXPECT_EQ(parse(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", raw(2.5))).as<double>()[0], 2.5);
}

TEST(Npy, errors_say_what_is_wrong) {
  const auto message = [](const std::string& header, const std::string& data = "") {
    return message_of([&] { parse(npy(header, data)); });
  };
  EXPECT_THAT(message("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}"),
              HasSubstr("a structured array"));
  EXPECT_THAT(message("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), HasSubstr("element type '|O'"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "12345678"),
              HasSubstr("a.npy: byte 65: float32 [3] needs 12 bytes of data, found 8"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9)}"),
              HasSubstr("far too many"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807, 9)}"),
              HasSubstr("far too many"));
  EXPECT_THAT(message("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), HasSubstr("expected an extent"));
  EXPECT_THAT(message("{'descr': '<f4', 'shape': (1,)}", "1234"), HasSubstr("a header without one of them"));
  EXPECT_THAT(message("{'descr': '<f4', 'descr': '<f4'}"), HasSubstr("found 'descr'"));
  EXPECT_THAT(
      message_of([] { parse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "1234")).as<double>(); }),
      HasSubstr("array float32 [1]: expected element type float64"));
}

TEST(Npy, conversions) {
  EXPECT_THAT(NpyArray::of<std::uint8_t>({2}, std::vector<std::uint8_t>{0, 255}).to_floats(),
              ElementsAre(0.0f, 255.0f));
  EXPECT_TRUE(std::isinf(NpyArray::of<double>({1}, std::vector<double>{1e300}).to_floats()[0]));
  EXPECT_THAT(NpyArray::of<std::int64_t>({1}, std::vector<std::int64_t>{(1ll << 60) + 1}).to_integers(),
              ElementsAre((1ll << 60) + 1));
  EXPECT_THROW(NpyArray::of<float>({1}, std::vector<float>{1}).to_integers(), InputError);
  EXPECT_THROW(NpyArray::of<std::uint64_t>({1}, std::vector<std::uint64_t>{~0ull}).to_integers(), InputError);
  EXPECT_THROW(NpyArray::of<float>({2}, std::vector<float>{1}), UsageError);
}

TEST(Npy, half_precision) {
  using formats::half_to_float;
  EXPECT_EQ(half_to_float(0x3C00), 1.0f);
  EXPECT_EQ(half_to_float(0xC000), -2.0f);
  EXPECT_EQ(half_to_float(0x7BFF), 65504.0f);
  EXPECT_EQ(half_to_float(0x0400), 0x1p-14f);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(half_to_float(0x83FF), -1023.0f * 0x1p-24f);
  EXPECT_TRUE(std::signbit(half_to_float(0x8000)));
  EXPECT_TRUE(std::isinf(half_to_float(0x7C00)));
  EXPECT_TRUE(std::isnan(half_to_float(0x7C01)));
}

NpzFile small_npz() {
  NpzFile npz;
  npz.set("x.coords", NpyArray::of<std::int32_t>({2, 4}, std::vector<std::int32_t>{0, 1, 2, 3, 0, -1, 5, 6}));
  npz.set("x.features", NpyArray::of<float>({2, 1}, std::vector<float>{1.5f, -2.5f}));
  npz.set("empty", NpyArray::of<double>({0, 3}, std::vector<double>{}));
  return npz;
}

TEST(Npz, round_trip) {
  for (const NpzCompression compression : {NpzCompression::none, NpzCompression::deflate}) {
    const std::string content = test::text_of(small_npz().serialize(compression));
    EXPECT_EQ(content, test::text_of(small_npz().serialize(compression)));
    const NpzFile back = NpzFile::parse(bytes_of(content), "a.npz");
    ASSERT_EQ(back.arrays().size(), 3u);
    EXPECT_EQ(back.arrays()[0].first, "x.coords");
    EXPECT_THAT(back.at("x.coords").as<std::int32_t>(), ElementsAre(0, 1, 2, 3, 0, -1, 5, 6));
    EXPECT_THAT(back.at("x.features").as<float>(), ElementsAre(1.5f, -2.5f));
    EXPECT_EQ(back.at("empty").describe(), "float64 [0, 3]");
    EXPECT_EQ(back.find("none"), nullptr);
    EXPECT_THAT(message_of([&] { back.at("none"); }),
                HasSubstr("a.npz: no array 'none'; there are: x.coords, x.features, empty"));
  }
}

TEST(Npz, set_replaces) {
  NpzFile npz = small_npz();
  npz.set("empty", NpyArray::of<float>({1}, std::vector<float>{3.0f}));
  EXPECT_EQ(npz.arrays().size(), 3u);
  EXPECT_EQ(npz.at("empty").as<float>()[0], 3.0f);
}

TEST(Npz, cut_or_damaged_files_are_refused) {
  const NpzFile whole = small_npz();
  for (const NpzCompression compression : {NpzCompression::none, NpzCompression::deflate}) {
    const std::string content = test::text_of(small_npz().serialize(compression));
    for (std::size_t length = 0; length < content.size(); ++length)
      EXPECT_THROW(NpzFile::parse(bytes_of(content.substr(0, length)), "a.npz"), InputError) << length;
    for (std::size_t at = 0; at < content.size(); ++at) {
      std::string damaged = content;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x5A);
      try {
        const NpzFile npz = NpzFile::parse(bytes_of(damaged), "a.npz");
        // What still parses differs in a name, a date or a flag, never in a value: the checksum covers the arrays.
        for (const auto& [name, array] : npz.arrays()) {
          const NpyArray* original = whole.find(name);
          EXPECT_TRUE(original == nullptr || array.data() == original->data()) << at;
        }
      } catch (const InputError&) {
      }
    }
  }
}

TEST(Npz, lies_about_sizes_are_refused) {
  std::string content = test::text_of(small_npz().serialize(NpzCompression::deflate));
  const std::size_t entry = content.find("PK\x01\x02");
  content.replace(entry + 24, 4, raw(std::uint32_t{0xF0000000}));
  EXPECT_THAT(message_of([&] { NpzFile::parse(bytes_of(content), "a.npz"); }), HasSubstr("packed bytes cannot hold"));
}

/// Runs a script with Debian's Python; false when there is no numpy.
class Numpy : public ::testing::Test {
 protected:
  Numpy() : folder_(::testing::TempDir() + "rarefy_numpy_" + std::to_string(::getpid())) { make_directories(folder_); }
  ~Numpy() override { std::filesystem::remove_all(folder_); }
  static bool available() { return std::system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") == 0; }
  int python(const std::string& script) const {
    write_file_atomic(path("script.py"), std::string_view(script));
    return std::system(("cd " + folder_ + " && /usr/bin/python3 script.py").c_str());
  }
  std::string path(const char* name) const { return join_path(folder_, name); }
  std::string folder_;
};

TEST_F(Numpy, reads_what_numpy_writes) {
  if (!available()) GTEST_SKIP() << "needs numpy for /usr/bin/python3";
  ASSERT_EQ(python(R"(
import numpy as np
a = np.arange(24).reshape(2, 3, 4)
arrays = {np.dtype(t).name: a.astype(t) for t in 'b B h H i I l L e f d ?'.split()}
arrays['fortran'] = np.asfortranarray(a.astype('f4'))
arrays['big'] = a.astype('>i8')
arrays['scalar'] = np.float32(7)
np.savez('plain.npz', **arrays)
np.savez_compressed('packed.npz', **arrays)
with open('v2.npy', 'wb') as f: np.lib.format.write_array(f, a.astype('i4'), version=(2, 0))
)"),
            0);
  for (const char* file : {"plain.npz", "packed.npz"}) {
    const NpzFile npz = NpzFile::read(path(file));
    EXPECT_EQ(npz.arrays().size(), 15u);
    for (const auto& [name, array] : npz.arrays()) {
      SCOPED_TRACE(name);
      if (name == "scalar") {
        EXPECT_TRUE(array.shape().empty());
        continue;
      }
      ASSERT_THAT(array.shape(), ElementsAre(2, 3, 4));
      const std::vector<float> values = array.to_floats();
      for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(values[i], name == "bool" ? float(i != 0) : float(i));
    }
  }
  EXPECT_EQ(read_npy(path("v2.npy")).as<std::int32_t>()[23], 23);
}

TEST_F(Numpy, writes_what_numpy_reads) {
  if (!available()) GTEST_SKIP() << "needs numpy for /usr/bin/python3";
  small_npz().write(path("plain.npz"));
  small_npz().write(path("packed.npz"), NpzCompression::deflate);
  write_npy(path("a.npy"), NpyArray::of<std::int64_t>({3}, std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_EQ(python(R"(
import numpy as np
for f in ('plain.npz', 'packed.npz'):
    z = np.load(f)
    assert sorted(z.files) == ['empty', 'x.coords', 'x.features'], z.files
    assert z['x.coords'].dtype == np.int32 and z['x.coords'].tolist() == [[0, 1, 2, 3], [0, -1, 5, 6]]
    assert z['x.features'].dtype == np.float32 and z['x.features'].tolist() == [[1.5], [-2.5]]
    assert z['empty'].shape == (0, 3)
a = np.load('a.npy')
assert a.dtype == np.int64 and a.tolist() == [1, -2, 3]
)"),
            0);
}

}  // namespace
}  // namespace rarefy
