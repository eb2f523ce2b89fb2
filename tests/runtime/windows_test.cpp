/// Windows of tokens in a session that sees batches of many sizes.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "rarefy/builder.h"
#include "rarefy/session.h"
#include "support/examples.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

constexpr std::int64_t kHeight = 5, kWidth = 7, kTokens = kHeight * kWidth;

Graph network(bool select) {
  Builder b;
  const ValueId x = b.points(4, "tokens");
  const WindowOptions options{.height = kHeight, .width = kWidth, .window = 3, .shift = 1};
  const auto windows = b.windows(b.space_of(x), options);
  ValueId kept = -1;
  if (select) {
    const ValueId scores = b.reduce(b.linear(x, 1, true, "score"), windows.window_of_token, "mean");
    kept = b.add("select_best", {scores, windows.space}, {{"share", 0.4}})[1];
  }
  const auto rows = b.window_rows(b.space_of(x), windows.space, options, kept);
  const ValueId t = b.gather(x, rows.token_of_row);
  const ValueId y = b.window_attention(t, t, t, rows.token_of_row, 2, options, "attn");
  b.output("y", b.add("overlay", {x, y, rows.row_of_token})[0]);
  b.output("sums", b.reduce(x, windows.window_of_token, "sum"));
  return b.build();
}

/// Images of random tokens.
struct Images {
  std::vector<float> values;
  std::vector<std::int64_t> begin{0};

  Images(std::int64_t count, Rng& rng, std::int64_t tokens = kTokens) {
    for (std::int64_t i = 0; i < count; ++i) begin.push_back(begin.back() + tokens);
    values.resize(static_cast<std::size_t>(begin.back() * 4));
    for (float& v : values) v = static_cast<float>(rng.normal());
  }
  Inputs inputs() {
    return {{"tokens", RowsView{{values.data(), Dtype::f32, Device::cpu, begin.back(), 4, 4}, begin}}};
  }
};

/// What one run leaves does not show in the next.
TEST(WindowSession, of_batches_of_many_sizes_equals_fresh_ones) {
  for (const bool select : {false, true}) {
    const Graph graph = network(select);
    const Model model(graph, initial_weights(graph, 1));
    Session session(model, {.threads = 2});
    Rng rng(5);
    for (const std::int64_t count : {1, 3, 3, 0, 1, 2}) {
      Images images(count, rng);
      Session fresh(model);
      const Outputs &found = session.run(images.inputs()), &expected = fresh.run(images.inputs());
      for (const char* output : {"y", "sums"})
        EXPECT_EQ(test::bits_of(found[output]), test::bits_of(expected[output])) << count << " images, " << output;
      EXPECT_EQ(found["sums"].rows, count * 9);
    }
  }
}

TEST(WindowSession, images_of_another_size_are_refused_and_the_session_goes_on) {
  const Graph graph = network(true);
  Session session(Model(graph, initial_weights(graph, 1)));
  Rng rng(5);
  Images right(2, rng), wrong(2, rng, kTokens - 1);
  const auto bits = test::bits_of(session.run(right.inputs())["y"]);
  test::expect_error<InputError>([&] { (void)session.run(wrong.inputs()); },
                                 {"(windows)", "image 0 has 34 rows, expected 35"});
  EXPECT_EQ(test::bits_of(session.run(right.inputs())["y"]), bits);
}

}  // namespace
}  // namespace rarefy
