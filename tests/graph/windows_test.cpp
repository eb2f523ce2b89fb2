/// What ops on windows of tokens refuse, and what of them runs ahead.
#include <gtest/gtest.h>

#include "graph/geometry_part.h"
#include "rarefy/builder.h"
#include "support/expect_error.h"

namespace rarefy {
namespace {

class WindowOps : public testing::Test {
 protected:
  Builder b;
  ValueId x = b.points(6, "tokens");
  ValueId other = b.points(6, "others");
  WindowOptions options{.height = 4, .width = 6, .window = 2, .shift = 1};
  Builder::Windows windows = b.windows(b.space_of(x), options);
  Builder::WindowRows rows = b.window_rows(b.space_of(x), windows.space, options);

  template <class F>
  void refused(F f, std::initializer_list<std::string> parts) {
    test::expect_error<ShapeError>([&] { (void)f(); }, parts);
  }
};

TEST_F(WindowOps, attributes_out_of_range_are_named) {
  const ValueId space = b.space_of(x);
  refused([&] { return b.windows(space, {.height = 4, .width = 6, .window = 0}); }, {"(windows)", "window is 0"});
  refused([&] { return b.windows(space, {.height = 4, .width = 6, .window = 33}); }, {"window is 33", "1 to 32"});
  refused([&] { return b.windows(space, {.height = 4, .width = 6, .window = 3, .shift = 3}); },
          {"shift is 3", "less than the window of 3"});
  refused([&] { return b.windows(space, {.height = 0, .width = 6, .window = 3}); }, {"0 x 6"});
  refused([&] { return b.resize_grid(x, space, {.height = 4, .width = 6}, {.height = 0, .width = 3}); },
          {"(resize_grid)", "to 0 x 3"});
}

TEST_F(WindowOps, what_does_not_fit_is_named) {
  const ValueId t = b.gather(x, rows.token_of_row);
  refused([&] { return b.window_attention(t, t, t, rows.token_of_row, 4, options); }, {"4 heads", "6 channels"});
  refused([&] { return b.window_attention(x, x, x, rows.token_of_row, 2, options); }, {"different spaces"});
  refused([&] { return b.window_attention(t, t, x, rows.token_of_row, 2, options); }, {"different spaces"});
  refused([&] { return b.scale_rows(x, x); }, {"6 channels", "one number per row"});
  refused([&] { return b.scale_rows(x, b.linear(other, 1)); }, {"different spaces"});
  const auto selected = b.select_top(b.linear(x, 1), {.share = 0.5});
  refused([&] { return b.window_rows(b.space_of(x), windows.space, options, selected.row_of_kept); },
          {"(window_rows)", "does not point into the windows"});
}

TEST_F(WindowOps, parameters_are_those_of_swin) {
  const ValueId t = b.gather(x, rows.token_of_row);
  b.output("y", b.window_attention(t, t, t, rows.token_of_row, 3, options, "attn"));
  const Graph graph = b.build();
  const Node& node = graph.nodes().back();
  EXPECT_EQ(node.parameters[0].name, "attn.relative_position_bias_table");
  EXPECT_EQ(graph.parameter_shapes(node), (std::vector<std::vector<std::int64_t>>{{9, 3}}));
}

/// Windows depend on the number of images only; those that features choose do not run ahead.
TEST_F(WindowOps, run_ahead_unless_features_choose_windows) {
  const ValueId scores = b.reduce(b.linear(x, 1), windows.window_of_token, "mean");
  const auto best = b.add("select_best", {scores, windows.space}, {{"share", 0.5}});
  const auto chosen = b.window_rows(b.space_of(x), windows.space, options, best[1]);
  b.output("y", b.gather(x, rows.token_of_row));
  b.output("z", b.gather(x, chosen.token_of_row));
  const Graph graph = b.build();
  const std::vector<bool> ahead = geometry_part(graph);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (node.op == "windows" || node.op == "window_rows") {
      EXPECT_EQ(ahead[n], node.inputs.size() < 3) << node.name;
    }
  }
}

}  // namespace
}  // namespace rarefy
