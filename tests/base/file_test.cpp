#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "rarefy/error.h"

namespace rarefy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  FileTest() : folder_(::testing::TempDir() + "rarefy_file_" + std::to_string(::getpid())) {
    make_directories(folder_);
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return join_path(folder_, name); }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  std::string folder_;
};

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const IoError& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST_F(FileTest, writes_chunks_and_reads_them_back) {
  write_file_atomic(path("a"), {bytes_of(std::string_view("one ")), bytes_of(std::string_view("two"))});
  EXPECT_EQ(read_text(path("a")), "one two");
  EXPECT_EQ(read_file(path("a")).size(), 7u);
  write_file_atomic(path("a"), std::string_view(""));
  EXPECT_EQ(read_text(path("a")), "");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, reads_sizes_around_the_buffer) {
  for (const std::size_t size : {1u, 4095u, 4096u, 4097u, 100000u}) {
    const std::string text(size, 'x');
    write_file_atomic(path("b"), std::string_view(text));
    EXPECT_EQ(read_text(path("b")), text);
  }
}

TEST_F(FileTest, errors_name_path_and_reason) {
  EXPECT_THAT(message_of([&] { read_file(path("missing")); }), HasSubstr("missing: cannot read: No such file"));
  EXPECT_THAT(message_of([&] { read_file(folder_); }), HasSubstr("Is a directory"));
  EXPECT_THAT(message_of([&] { write_file_atomic(folder_, std::string_view("x")); }), HasSubstr("it is a folder"));
  EXPECT_THAT(message_of([&] { write_file_atomic(path("no/such"), std::string_view("x")); }),
              HasSubstr("its folder does not exist"));
  EXPECT_THAT(message_of([&] { list_directory(path("none")); }), HasSubstr("cannot list the folder"));
}

TEST_F(FileTest, uncommitted_file_leaves_the_old_one_alone) {
  write_file_atomic(path("a"), std::string_view("old"));
  {
    AtomicFile file(path("a"));
    file.write(bytes_of(std::string_view("new")));
    EXPECT_EQ(entries(), 2u);
  }
  EXPECT_EQ(read_text(path("a")), "old");
  EXPECT_EQ(entries(), 1u);
}

// A file size limit fails like a full disk: some bytes are written, then write() says no.
TEST_F(FileTest, failure_in_the_middle_leaves_nothing_behind) {
  write_file_atomic(path("a"), std::string_view("old"));
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit limited = before;
  limited.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
  const std::string text(5000, 'x');
  const std::string message = message_of([&] { write_file_atomic(path("a"), std::string_view(text)); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, HasSubstr("a: cannot write: File too large (after 1000 bytes; nothing was left behind)"));
  EXPECT_EQ(read_text(path("a")), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, devices_are_written_in_place) {
  write_file_atomic("/dev/null", std::string_view("x"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  if (!path_exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  EXPECT_THAT(message_of([] { write_file_atomic("/dev/full", std::string_view("x")); }), HasSubstr("No space left"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST_F(FileTest, lists_and_expands_in_order) {
  for (const char* name : {"b.bin", "a.bin", "c.txt", ".hidden.bin"})
    write_file_atomic(path(name), std::string_view(""));
  EXPECT_THAT(list_directory(folder_), ElementsAre("a.bin", "b.bin", "c.txt"));
  EXPECT_THAT(expand_pattern(path("*.bin")), ElementsAre(path("a.bin"), path("b.bin")));
  EXPECT_THAT(expand_pattern(path("plain")), ElementsAre(path("plain")));
  EXPECT_TRUE(expand_pattern(path("*.none")).empty());
}

TEST(Paths, join_and_name) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(file_name("a/b.bin"), "b.bin");
  EXPECT_EQ(file_name("b.bin"), "b.bin");
}

}  // namespace
}  // namespace rarefy
