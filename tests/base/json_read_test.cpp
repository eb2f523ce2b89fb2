#include "base/json_read.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"

namespace rarefy {
namespace {

using nlohmann::json;

TEST(JsonRead, integers_that_fit) {
  EXPECT_EQ(read_integer<std::int64_t>(json::parse("-9223372036854775808"), "f", "x"), INT64_MIN);
  EXPECT_EQ(read_integer<std::uint64_t>(json::parse("18446744073709551615"), "f", "x"), UINT64_MAX);
  EXPECT_EQ(read_integer<std::uint8_t>(json::parse("255"), "f", "x"), 255);
  EXPECT_EQ(read_integers<int>(json::parse("[1, -2, 3]"), "f", "x"), (std::vector<int>{1, -2, 3}));
}

TEST(JsonRead, everything_else_is_refused_by_name) {
  for (const char* text : {"1e64", "1.5", "-1", "256", "\"7\"", "null", "18446744073709551615"})
    test::expect_error<InputError>([&] { (void)read_integer<std::uint8_t>(json::parse(text), "file", "field"); },
                                   {"file", "field", "0 to 255", "found"});
  test::expect_error<InputError>(
      [&] { (void)read_integer<std::int64_t>(json::parse("9223372036854775808"), "f", "x"); }, {"9223372036854775808"});
  test::expect_error<InputError>([&] { (void)read_integers<int>(json::parse("{}"), "f", "x"); }, {"list"});
}

}  // namespace
}  // namespace rarefy
