/// Attention within windows against its definition in double, forward and backward, for every variant that this CPU
/// has; shifted windows against Swin's cyclic shift and mask.
#include "kernels/window_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/conv.h"
#include "support/expect_error.h"
#include "support/random_cases.h"

namespace rarefy {
namespace {

using Numbers = std::vector<double>;

/// Windows of some images, all or some of them, matrices with gaps between rows.
struct Case {
  WindowGrid grid{1, 1, 1, 0};
  std::int64_t heads, d, e, gap;
  SampleBegin begin;
  RowIndex token_of_row, row_of_token;
  std::vector<float> q, k, v, table, gy;

  Case(Rng& rng, WindowGrid on, std::int64_t images, bool select)
      : grid(on), heads(rng.integer(1, 3)), d(rng.integer(1, 40)), e(rng.integer(1, 40)), gap(rng.integer(0, 3)) {
    if (rng.chance(0.5)) d = 8 << rng.integer(0, 2);  // whole vectors are used where they lie
    if (rng.chance(0.5)) e = 8 << rng.integer(0, 2);
    RowIndex kept;
    for (std::int64_t w = 0; w < images * grid.windows(); ++w)
      if (rng.chance(0.6)) kept.voxel_of_point.push_back(static_cast<std::int32_t>(w));
    rows_of_windows(grid, images, select ? &kept : nullptr, begin, token_of_row, row_of_token);
    fill(q, rows() * (heads * d + gap), rng);
    fill(k, rows() * (heads * d + gap), rng);
    fill(v, rows() * (heads * e + gap), rng);
    fill(gy, rows() * (heads * e + gap), rng);
    fill(table, steps() * steps() * heads, rng);
  }
  static Case random(Rng& rng) {
    WindowGrid grid{rng.integer(1, 20), rng.integer(1, 20), rng.integer(1, 8), 0};
    grid.shift = rng.integer(0, grid.window - 1);
    return Case(rng, grid, rng.integer(1, 2), rng.chance(0.4));
  }
  static void fill(std::vector<float>& to, std::int64_t count, Rng& rng) {
    to.resize(static_cast<std::size_t>(count));
    for (float& value : to) value = static_cast<float>(rng.normal());
  }

  std::int64_t rows() const { return begin.back(); }
  std::int64_t steps() const { return 2 * grid.window - 1; }
  Matrix<const float> view(const std::vector<float>& values, std::int64_t cols) const {
    return {values.data(), rows(), cols, cols + gap};
  }
  WindowAttentionInput input() const {
    return {{view(q, heads * d), view(k, heads * d), view(v, heads * e), {}, begin, heads},
            token_of_row.voxel_of_point,
            grid,
            {table.data(), steps() * steps(), heads, heads}};
  }

  /// Which row of the table a pair of rows reads.
  std::int64_t step(std::int64_t i, std::int64_t j) const {
    const auto token = [&](std::int64_t r) {
      return token_of_row.voxel_of_point[static_cast<std::size_t>(r)] % grid.tokens();
    };
    const std::int64_t dy = token(i) / grid.width - token(j) / grid.width,
                       dx = token(i) % grid.width - token(j) % grid.width;
    return (dy + grid.window - 1) * steps() + dx + grid.window - 1;
  }
  /// What row i gives to each row of its window, [first, last).
  Numbers attended(std::int64_t first, std::int64_t last, std::int64_t i, std::int64_t head) const {
    const WindowAttentionInput in = input();
    Numbers p;
    double most = -std::numeric_limits<double>::infinity(), sum = 0.0;
    for (std::int64_t j = first; j < last; ++j) {
      double score = 0.0;
      for (std::int64_t c = head * d; c < (head + 1) * d; ++c)
        score += static_cast<double>(in.rows.q(i, c)) * in.rows.k(j, c);
      p.push_back(score / std::sqrt(static_cast<double>(d)) + in.table(step(i, j), head));
      most = std::max(most, p.back());
    }
    for (double& x : p) sum += x = std::exp(x - most);
    for (double& x : p) x /= sum;
    return p;
  }
  /// f(head, i, first, last) for every query.
  template <class F>
  void for_queries(F f) const {
    for (std::size_t s = 1; s < begin.size(); ++s)
      for (std::int64_t i = begin[s - 1]; i < begin[s]; ++i)
        for (std::int64_t h = 0; h < heads; ++h) f(h, i, begin[s - 1], begin[s]);
  }
};

std::vector<float> run(const Case& c, cpu::Isa isa, Executor& executor = serial_executor()) {
  std::vector<float> y(static_cast<std::size_t>(c.rows() * c.heads * c.e));
  AlignedBuffer scratch;
  window_attention(isa, c.input(), executor, scratch, {y.data(), c.rows(), c.heads * c.e, c.heads * c.e});
  return y;
}

/// Gradients with respect to q, k, v and the table.
struct Gradients {
  std::vector<float> q, k, v, table;
  bool operator==(const Gradients&) const = default;
};
Gradients run_backward(const Case& c, cpu::Isa isa, Executor& executor = serial_executor()) {
  Gradients g;
  const std::int64_t d = c.heads * c.d, e = c.heads * c.e, steps = c.steps() * c.steps();
  for (auto* to : {&g.q, &g.k}) to->assign(static_cast<std::size_t>(c.rows() * d), 7.0f);
  g.v.assign(static_cast<std::size_t>(c.rows() * e), 7.0f);
  g.table.assign(static_cast<std::size_t>(steps * c.heads), 7.0f);
  AlignedBuffer scratch;
  window_attention_gradient(isa, c.input(), c.view(c.gy, e), executor, scratch,
                            {{g.q.data(), c.rows(), d, d},
                             {g.k.data(), c.rows(), d, d},
                             {g.v.data(), c.rows(), e, e},
                             {g.table.data(), steps, c.heads, c.heads}});
  return g;
}

void expect_near(const std::vector<float>& found, const Numbers& expected, double tolerance, const char* what) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], expected[i], tolerance * (1.0 + std::abs(expected[i]))) << what << " " << i;
}

class WindowAttention : public testing::TestWithParam<const ConvVariant*> {
 protected:
  void SetUp() override {
    if (!runs_here(*GetParam())) GTEST_SKIP() << "this CPU lacks " << cpu::name(GetParam()->needs);
  }
  cpu::Isa isa() const { return GetParam()->needs; }
};

TEST_P(WindowAttention, equals_its_definition) {
  test::for_random_cases(60, [&](Rng& rng) {
    const Case c = Case::random(rng);
    const WindowAttentionInput in = c.input();
    const std::int64_t cols = c.heads * c.e;
    Numbers expected(static_cast<std::size_t>(c.rows() * cols));
    c.for_queries([&](std::int64_t h, std::int64_t i, std::int64_t first, std::int64_t last) {
      const Numbers p = c.attended(first, last, i, h);
      for (std::int64_t j = first; j < last; ++j)
        for (std::int64_t col = h * c.e; col < (h + 1) * c.e; ++col)
          expected[static_cast<std::size_t>(i * cols + col)] +=
              p[static_cast<std::size_t>(j - first)] * in.rows.v(j, col);
    });
    expect_near(run(c, isa()), expected, 2e-5, "y");
  });
}

TEST_P(WindowAttention, gradients_equal_their_definition) {
  test::for_random_cases(40, [&](Rng& rng) {
    const Case c = Case::random(rng);
    const WindowAttentionInput in = c.input();
    const auto gy = c.view(c.gy, c.heads * c.e);
    const std::int64_t d = c.heads * c.d, e = c.heads * c.e;
    const double scale = 1.0 / std::sqrt(static_cast<double>(c.d));
    Numbers gq(static_cast<std::size_t>(c.rows() * d)), gk = gq, gv(static_cast<std::size_t>(c.rows() * e)),
                                                        table(c.table.size());
    c.for_queries([&](std::int64_t h, std::int64_t i, std::int64_t first, std::int64_t last) {
      const Numbers p = c.attended(first, last, i, h);
      Numbers gp(p.size());
      double mean = 0.0;
      for (std::int64_t j = first; j < last; ++j) {
        const auto at = static_cast<std::size_t>(j - first);
        for (std::int64_t col = h * c.e; col < (h + 1) * c.e; ++col) {
          gp[at] += static_cast<double>(gy(i, col)) * in.rows.v(j, col);
          gv[static_cast<std::size_t>(j * e + col)] += p[at] * gy(i, col);
        }
        mean += p[at] * gp[at];
      }
      for (std::int64_t j = first; j < last; ++j) {
        const double gs = p[static_cast<std::size_t>(j - first)] * (gp[static_cast<std::size_t>(j - first)] - mean);
        table[static_cast<std::size_t>(c.step(i, j) * c.heads + h)] += gs;
        for (std::int64_t col = h * c.d; col < (h + 1) * c.d; ++col) {
          gq[static_cast<std::size_t>(i * d + col)] += gs * scale * in.rows.k(j, col);
          gk[static_cast<std::size_t>(j * d + col)] += gs * scale * in.rows.q(i, col);
        }
      }
    });
    const Gradients found = run_backward(c, isa());
    expect_near(found.q, gq, 1e-4, "q");
    expect_near(found.k, gk, 1e-4, "k");
    expect_near(found.v, gv, 1e-4, "v");
    expect_near(found.table, table, 2e-4, "table");
  });
}

TEST_P(WindowAttention, has_the_same_bits_for_any_executor) {
  const auto pool = make_thread_pool(4);
  test::for_random_cases(10, [&](Rng& rng) {
    const Case c(rng, {40, 50, 4, 1}, 2, rng.chance(0.5));
    EXPECT_EQ(run(c, isa()), run(c, isa(), *pool));
    EXPECT_EQ(run_backward(c, isa()), run_backward(c, isa(), *pool));
  });
}

/// Alone, a window gives the same bits, and NaN in one stays there.
TEST_P(WindowAttention, of_a_window_does_not_depend_on_the_others) {
  test::for_random_cases(20, [&](Rng& rng) {
    Case c = Case::random(rng);
    if (c.rows() == 0) return;
    const std::vector<float> all = run(c, isa());
    const std::int64_t cols = c.heads * c.e;
    const auto s = static_cast<std::size_t>(rng.integer(1, static_cast<std::int64_t>(c.begin.size()) - 1));
    const std::int64_t first = c.begin[s - 1], rows = c.begin[s] - first;
    WindowAttentionInput in = c.input();
    for (auto* m : {&in.rows.q, &in.rows.k, &in.rows.v}) *m = {m->row(first), rows, m->cols, m->row_stride};
    in.token_of_row = in.token_of_row.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows));
    const std::vector<std::int64_t> alone{0, rows};
    in.rows.sample_begin = alone;
    std::vector<float> y(static_cast<std::size_t>(rows * cols));
    AlignedBuffer scratch;
    window_attention(isa(), in, serial_executor(), scratch, {y.data(), rows, cols});
    EXPECT_TRUE(std::equal(y.begin(), y.end(), all.begin() + first * cols));
    c.q[static_cast<std::size_t>(first * (c.heads * c.d + c.gap))] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> with_nan = run(c, isa());
    EXPECT_TRUE(std::isnan(with_nan[static_cast<std::size_t>(first * cols)]));
    for (std::int64_t i = 0; i < c.rows() * cols; ++i) {
      if (i / cols >= first && i / cols < first + rows) continue;
      ASSERT_EQ(with_nan[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(i)]);
    }
  });
}

/// Scores far beyond the range of exp: the largest one takes all.
TEST_P(WindowAttention, of_extreme_numbers) {
  const std::vector<std::int64_t> begin{0, 4};
  const std::vector<std::int32_t> tokens{0, 1, 2, 3};
  const std::vector<float> q{1e6f, -1e6f, 0.0f, 0.0f}, k{1.0f, -1.0f, 0.0f, 0.0f}, v{1.0f, 2.0f, 3.0f, 6.0f};
  std::vector<float> table(9, 0.0f), y(4);
  const WindowGrid grid{2, 2, 2, 0};
  const WindowAttentionInput in{
      {{q.data(), 4, 1}, {k.data(), 4, 1}, {v.data(), 4, 1}, {}, begin, 1}, tokens, grid, {table.data(), 9, 1}};
  AlignedBuffer scratch;
  window_attention(isa(), in, serial_executor(), scratch, {y.data(), 4, 1});
  EXPECT_EQ(y, (std::vector<float>{1.0f, 2.0f, 3.0f, 3.0f}));
  table[4 - 3] = 3e6f;   // a query one line above its key: rows 0 and 1 see only what is below them
  table[4 + 3] = -3e6f;  // rows 2 and 3 see everything but what is above them
  window_attention(isa(), in, serial_executor(), scratch, {y.data(), 4, 1});
  EXPECT_EQ(y[0], 3.0f);
  EXPECT_EQ(y[1], 6.0f);
  EXPECT_FLOAT_EQ(y[2], 11.0f / 3.0f);
  EXPECT_FLOAT_EQ(y[3], 10.0f / 3.0f);
}

std::vector<const ConvVariant*> variants() {
  std::vector<const ConvVariant*> all;
  for (const ConvVariant& variant : conv_variants()) all.push_back(&variant);
  return all;
}
INSTANTIATE_TEST_SUITE_P(Variants, WindowAttention, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(name(*info.param)); });

/// Swin as published, on one image that windows divide: roll by -shift, windows of the rolled image, -infinity between
/// tokens of different regions, roll back. Nothing of our windows is used.
Numbers cyclic(const Case& c, const std::vector<std::int64_t>& row_of_token) {
  const WindowGrid& g = c.grid;
  const WindowAttentionInput in = c.input();
  const std::int64_t cols = c.heads * c.e, w = g.window;
  const auto unrolled = [&](std::int64_t y, std::int64_t x) {
    return row_of_token[static_cast<std::size_t>((y + g.shift) % g.height * g.width + (x + g.shift) % g.width)];
  };
  const auto region = [&](std::int64_t at, std::int64_t length) {
    return at < length - w ? 0 : at < length - g.shift ? 1 : 2;
  };
  Numbers result(static_cast<std::size_t>(c.rows() * cols));
  for (std::int64_t y = 0; y < g.height; ++y)
    for (std::int64_t x = 0; x < g.width; ++x)
      for (std::int64_t h = 0; h < c.heads; ++h) {
        const std::int64_t i = unrolled(y, x);
        Numbers p, values(static_cast<std::size_t>(c.e));
        double sum = 0.0;
        for (std::int64_t a = y / w * w; a < y / w * w + w; ++a)
          for (std::int64_t b = x / w * w; b < x / w * w + w; ++b) {
            if (region(a, g.height) != region(y, g.height) || region(b, g.width) != region(x, g.width)) continue;
            const std::int64_t j = unrolled(a, b);
            double score = 0.0;
            for (std::int64_t n = h * c.d; n < (h + 1) * c.d; ++n)
              score += static_cast<double>(in.rows.q(i, n)) * in.rows.k(j, n);
            const std::int64_t step = (y - a + w - 1) * c.steps() + x - b + w - 1;
            const double e = std::exp(score / std::sqrt(static_cast<double>(c.d)) + in.table(step, h));
            sum += e;
            for (std::int64_t n = 0; n < c.e; ++n) values[static_cast<std::size_t>(n)] += e * in.rows.v(j, h * c.e + n);
          }
        for (std::int64_t n = 0; n < c.e; ++n)
          result[static_cast<std::size_t>(i * cols + h * c.e + n)] = values[static_cast<std::size_t>(n)] / sum;
      }
  return result;
}

TEST(Windows, shifted_cuts_are_the_cyclic_shift_and_its_mask) {
  test::for_random_cases(30, [](Rng& rng) {
    const std::int64_t w = rng.integer(2, 5), shift = rng.chance(0.6) ? w / 2 : rng.integer(1, w - 1);
    // Where one window covers an axis, Swin does not shift at all.
    const Case c(rng, {w * rng.integer(2, 4), w * rng.integer(2, 4), w, shift}, 1, false);
    const auto& index = c.row_of_token.voxel_of_point;
    expect_near(run(c, cpu::allowed_isa()), cyclic(c, {index.begin(), index.end()}), 2e-5, "y");
  });
}

TEST(WindowAttentionShapes, that_do_not_fit_are_named) {
  Rng rng(1);
  const Case c(rng, {4, 4, 2, 0}, 1, false);
  AlignedBuffer scratch;
  std::vector<float> y(static_cast<std::size_t>(16 * c.heads * c.e));
  const auto refused = [&](const WindowAttentionInput& in, std::initializer_list<std::string> parts) {
    test::expect_error<ShapeError>(
        [&] {
          window_attention(cpu::Isa::portable, in, serial_executor(), scratch, {y.data(), 16, c.heads * c.e});
        },
        parts);
  };
  WindowAttentionInput in = c.input();
  in.rows.heads = 0;
  refused(in, {"0 heads do not share"});
  in = c.input();
  in.table.rows = 4;
  refused(in, {"a table of 4 x", "expected 9 x"});
  in = c.input();
  in.token_of_row = in.token_of_row.first(5);
  refused(in, {"windows have 16 rows", "tokens 5"});
  in = c.input();
  const std::vector<std::int64_t> one{0, 16};
  in.rows.sample_begin = one;
  refused(in, {"a window of 16 rows, expected at most 4"});
}

}  // namespace
}  // namespace rarefy
