#include <algorithm>
#include <limits>
#include <memory>

#include "self_check/reference.h"

namespace rarefy::self_check {
namespace {

/// Sums of up to 27 * 64 products in float32, in any order, relative to the sum of their absolute values: the worst
/// seen is a quarter of this; one product left out of 1728 is far above it.
constexpr double kTolerance = 2e-6;
constexpr double kInfinite = std::numeric_limits<double>::infinity();
/// Below, at and above the lanes of every variant; one to several panels.
constexpr std::int64_t kChannels[] = {1, 3, 8, 17, 32, 64};

/// A map as the library builds it, and the same by plain loops.
struct Geometry {
  std::string name;
  KernelMap map, back;
  std::vector<Pair> pairs;
  bool submanifold = false;
};

Geometry make_geometry(const std::string& name, const std::vector<Site>& in, const KernelShape& kernel) {
  Geometry g;
  g.name = name;
  g.submanifold = kernel.stride == Extent{1, 1, 1, 1};
  const std::vector<Site> out = g.submanifold ? in : strided_sites(in, kernel);
  const Coords in_coords = coords_of(in);
  Coords out_coords = coords_of(out);
  out_coords.stride = kernel.stride;
  build_kernel_map(in_coords, g.submanifold ? in_coords : out_coords, kernel, serial_executor(), g.map);
  transpose_map(g.map, serial_executor(), g.back);
  g.pairs = find_pairs(in, out, kernel);
  return g;
}

/// No map: row i to row i.
Geometry make_linear(std::int64_t rows) {
  Geometry g;
  g.name = "linear rows";
  g.map.in_rows = g.map.out_rows = rows;
  g.map.volume = 1;
  for (std::int32_t r = 0; r < rows; ++r) g.pairs.push_back({r, r, 0});
  return g;
}

std::vector<Pair> exchanged(std::vector<Pair> pairs) {
  for (Pair& p : pairs) std::swap(p.in, p.out);
  return pairs;
}

/// What a convolution's rows end in: the reference of conv.h's epilogue.
struct Ending {
  const std::vector<float>& bias;
  Matrix<const float> residual;
  Activation activation;
  float slope;
};
void end_rows(const Ending& e, Values& y) {
  const auto channels = static_cast<std::int64_t>(e.bias.size());
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(y.value.size()); ++i) {
    y.add(i, e.bias[static_cast<std::size_t>(i % channels)]);
    y.add(i, e.residual(i / channels, i % channels));
    double& v = y.value[static_cast<std::size_t>(i)];
    if (v < 0 && e.activation != Activation::none) v *= e.activation == Activation::relu ? 0.0 : double{e.slope};
  }
}

/// One geometry with channels, values and what should come out. Shared by all variants.
class Case {
 public:
  Case(const Geometry& g, std::int64_t in, std::int64_t out, bool integers, std::uint64_t seed)
      : g_(g),
        in_(in),
        out_(out),
        x_(g.map.in_rows, in),
        gy_(g.map.out_rows, out),
        expected_y_(0),
        expected_gx_(0),
        expected_gw_(0),
        expected_back_(0) {
    Rng rng(0x5E1F, seed);
    const auto values = integers ? integer_values : normal_values;
    integers ? x_.integers(rng) : x_.normal(rng);
    integers ? gy_.integers(rng) : gy_.normal(rng);
    w_ = values(rng, g.map.volume * in * out);
    bias_ = values(rng, out);
    activation_ = static_cast<Activation>(seed % 3);
    expected_y_ = convolve(x_.view(), w_, g.pairs, g.map.out_rows, out);
    end_rows({bias_, gy_.view(), activation_, kSlope}, expected_y_);
    expected_gx_ = input_gradient(gy_.view(), w_, g.pairs, g.map.in_rows, in);
    expected_gw_ = weight_gradient(x_.view(), gy_.view(), g.pairs, g.map.volume);
    // The transposed layer takes `in` channels from the coarse sites back to the fine ones.
    Rows coarse(g.map.out_rows, in);
    integers ? coarse.integers(rng) : coarse.normal(rng);
    coarse_ = std::make_unique<Rows>(std::move(coarse));
    expected_back_ = convolve(coarse_->view(), w_, exchanged(g.pairs), g.map.in_rows, out);
  }

  std::string text() const {
    return g_.name + ", " + std::to_string(in_) + " to " + std::to_string(out_) + " channels";
  }
  bool linear() const { return g_.map.begin.empty(); }

  double forward(const ConvVariant& v) {
    const ConvEpilogue epilogue{bias_.data(), gy_.view(), activation_, kSlope};
    return error_of(v, x_.view(), WeightOrder::forward, map_or_null(g_.map), epilogue, expected_y_, g_.map.out_rows,
                    out_);
  }
  double input_gradients(const ConvVariant& v) {
    const double error =
        error_of(v, gy_.view(), WeightOrder::transposed, map_or_null(g_.back), {}, expected_gx_, g_.map.in_rows, in_);
    if (!g_.submanifold) return error;
    return std::max(error, error_of(v, gy_.view(), WeightOrder::transposed_flipped, &g_.map, {}, expected_gx_,
                                    g_.map.in_rows, in_));
  }
  double transposed(const ConvVariant& v) {
    return error_of(v, coarse_->view(), WeightOrder::forward, map_or_null(g_.back), {}, expected_back_, g_.map.in_rows,
                    out_);
  }
  double weight_gradients(const ConvVariant& v) {
    std::vector<std::vector<float>> results;
    for (Executor* executor : {&serial_executor(), pool_.get()}) {
      AlignedBuffer scratch;
      results.emplace_back(w_.size() + 1, kMark);
      conv_weight_gradient(v, x_.view(), gy_.view(), map_or_null(g_.map), g_.map.volume, *executor, scratch,
                           results.back().data());
    }
    if (results[0] != results[1] || results[0].back() != kMark) return kInfinite;
    return relative_error({results[0].data(), g_.map.volume * in_, out_}, expected_gw_);
  }

 private:
  static constexpr float kSlope = 0.25f;
  static constexpr float kMark = -7.0e33f;

  const KernelMap* map_or_null(const KernelMap& map) const { return linear() ? nullptr : &map; }

  /// Once in the calling thread, once on two threads: same bits, nothing beyond the rows.
  double error_of(const ConvVariant& v, Matrix<const float> x, WeightOrder order, const KernelMap* map,
                  const ConvEpilogue& epilogue, const Values& expected, std::int64_t rows, std::int64_t channels) {
    PackedWeights packed;
    pack_weights(v, w_.data(), g_.map.volume, in_, out_, order, packed);
    Rows one(rows, channels), two(rows, channels);
    conv_forward(x, packed, map, epilogue, serial_executor(), one.view());
    conv_forward(x, packed, map, epilogue, *pool_, two.view());
    if (!one.intact() || !two.intact() || !same_bits(one.view(), two.view())) return kInfinite;
    return relative_error(one.view(), expected);
  }

  const Geometry& g_;
  std::int64_t in_, out_;
  Rows x_, gy_;
  std::unique_ptr<Rows> coarse_;
  std::vector<float> w_, bias_;
  Activation activation_ = Activation::none;
  Values expected_y_, expected_gx_, expected_gw_, expected_back_;
  std::unique_ptr<Executor> pool_ = make_thread_pool(2);
};

/// Checks of one variant, by name.
enum Name : std::size_t { kForward, kInputGradient, kWeightGradient, kTransposed, kLinear, kIntegers, kNames };

std::vector<Check> no_checks() {
  std::vector<Check> checks(kNames);
  constexpr const char* kTitle[kNames] = {"forward",         "input gradient",    "weight gradient",
                                          "transposed maps", "linear rows (all)", "sums of integers"};
  for (std::size_t i = 0; i < kNames; ++i) {
    checks[i].name = kTitle[i];
    checks[i].tolerance = i == kIntegers ? 0.0 : kTolerance;
  }
  return checks;
}

void check(Case& c, bool integers, const ConvVariant& v, std::vector<Check>& checks) {
  const auto into = [&](Name name) -> Check& { return checks[integers ? kIntegers : c.linear() ? kLinear : name]; };
  into(kForward).add(c.forward(v), c.text());
  into(kInputGradient).add(c.input_gradients(v), c.text());
  into(kWeightGradient).add(c.weight_gradients(v), c.text());
  if (!c.linear()) into(kTransposed).add(c.transposed(v), c.text());
}

}  // namespace

std::vector<Report> check_convolutions(std::span<const ConvVariant> variants) {
  std::vector<Report> reports;
  for (const ConvVariant& v : variants) {
    Report& r = reports.emplace_back(Report{"convolution", std::string(name(v)), runs_here(v), {}, {}});
    if (r.ran) {
      r.checks = no_checks();
    } else {
      r.why_not = not_available(v.needs);
    }
  }
  Rng rng(0x5E1F);
  const std::vector<Site> sites = make_sites(rng);
  std::vector<Geometry> geometries;
  geometries.push_back(make_geometry("3x3x3", sites, {}));
  geometries.push_back(make_geometry("2x2x2 with stride 2", sites, {.size = {2, 2, 2, 1}, .stride = {2, 2, 2, 1}}));
  geometries.push_back(make_geometry(
      "padded 3x3x3 with stride 2", sites,
      {.size = {3, 3, 3, 1}, .stride = {2, 2, 2, 1}, .padding = {1, 1, 1, 0}, .rule = CoordinateRule::padded}));
  geometries.push_back(make_linear(static_cast<std::int64_t>(sites.size())));
  std::uint64_t seed = 0;
  for (const Geometry& g : geometries) {
    for (const std::int64_t in : kChannels) {
      for (const std::int64_t out : kChannels) {
        for (const bool integers : {false, true}) {
          if (integers && in != out) continue;
          Case c(g, in, out, integers, ++seed);
          for (std::size_t v = 0; v < variants.size(); ++v)
            if (reports[v].ran) check(c, integers, variants[v], reports[v].checks);
        }
      }
    }
  }
  return reports;
}

}  // namespace rarefy::self_check
