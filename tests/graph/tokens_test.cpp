/// What ops on tokens refuse, and in which words.
#include <gtest/gtest.h>

#include "rarefy/builder.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

class TokenOps : public testing::Test {
 protected:
  Builder b;
  ValueId x = b.points(6, "tokens");
  ValueId other = b.points(6, "others");
  ValueId score = b.linear(x, 1, true, "score");

  void refused(const std::string& op, std::vector<ValueId> inputs, Attributes attributes,
               std::initializer_list<std::string> parts) {
    test::expect_error<ShapeError>([&] { (void)b.add(op, inputs, attributes, "node"); }, parts);
  }
};

TEST_F(TokenOps, attention_names_what_does_not_fit) {
  refused("attention", {x, x, x}, {{"heads", std::int64_t{4}}}, {"'node' (attention)", "4 heads", "6 channels"});
  refused("attention", {x, x, x}, {{"heads", std::int64_t{0}}}, {"0 heads"});
  refused("attention", {x, other, x}, {}, {"'others' (input_points)", "different spaces"});
  refused("attention", {x, x, other}, {}, {"'others' (input_points)"});
  refused("attention", {x, b.linear(x, 4, true, "k"), x}, {}, {"queries", "6 channels", "have 4"});
  refused("attention", {x, x, x, x}, {}, {"'tokens' (input_points)", "6 channels", "one number per row"});
  refused("attention_scores", {x, x}, {{"queries", std::string("last")}}, {"'last'", "'first' and 'all'"});
  test::expect_error<UsageError>([&] { (void)b.add("attention", {x, x}); }, {"at least 3 inputs", "sizes: features?"});
  test::expect_error<UsageError>([&] { (void)b.add("attention", {x, x, x, score, score}); }, {"got 5"});
}

TEST_F(TokenOps, selections_name_what_does_not_fit) {
  const ValueId space = b.space_of(x);
  refused("select_top", {x, space}, {}, {"6 channels", "one number per row"});
  refused("select_top", {score, b.space_of(other)}, {}, {"different spaces"});
  refused("select_top", {score, space}, {{"share", 1.5}}, {"share is 1.5", "0 to 1"});
  refused("select_top", {score, space}, {{"count", std::int64_t{-1}}}, {"count is -1"});
  refused("select_top", {score, space}, {{"leading", std::int64_t{-1}}}, {"leading is -1"});
  refused("select_top", {score, space}, {{"rounding", std::string("nearest")}}, {"'nearest'", "'up' and 'down'"});
  refused("select", {score, space}, {{"leading", std::int64_t{1} << 40}}, {"(select)", "leading is 1099511627776"});
  const auto a = b.select_top(score, {.share = 0.5}), c = b.select_top(score, {.share = 0.25});
  refused("fuse_rows", {x, score, a.row_of_kept, c.kept_of_row}, {}, {"two indices of one selection"});
  refused("match_tokens", {x, space}, {{"remove", std::int64_t{-2}}}, {"remove is -2"});
  refused("match_tokens", {x, space}, {{"leading", std::int64_t{2}}}, {"leading 2"});
  refused("match_tokens", {x, space}, {{"heads", std::int64_t{5}}}, {"5 heads", "the metric"});
  refused("merge_rows", {x, x, a.kept_of_row}, {}, {"one number per row"});
}

TEST_F(TokenOps, tables_and_patches_name_what_does_not_fit) {
  refused("embedding", {x}, {}, {"6 channels of f32", "one number per row"});
  refused("embedding", {score}, {{"count", std::int64_t{1} << 30}}, {"1073741824 x 1", "16777216 rows"});
  refused("patches", {b.space_of(x)}, {{"height", std::int64_t{225}}}, {"225 x 224", "patches of 16", "multiples"});
  refused("first_rows", {b.space_of(x), b.space_of(x)}, {}, {"space of samples"});
}

TEST_F(TokenOps, rows_keep_their_spaces) {
  const auto merged = b.match_tokens(x, {.remove = 2});
  EXPECT_EQ(b.space_of(b.merge_rows(x, score, merged.merged_of_row)), merged.space);
  EXPECT_EQ(b.type(b.class_token(x, "cls")).channels, 6);
  EXPECT_NE(b.space_of(b.class_token(x, "cls2")), b.space_of(x));
  EXPECT_EQ(b.space_of(b.class_token(x, "cls3")), b.space_of(b.class_token(x, "cls4"))) << "equal nodes are one";
}

}  // namespace
}  // namespace rarefy
