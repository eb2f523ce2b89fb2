#include "rarefy/builder.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "sparse/coords.h"

namespace rarefy {
namespace {

bool all_equal(const std::vector<std::int64_t>& values, std::int64_t value) {
  return std::all_of(values.begin(), values.end(), [value](std::int64_t v) { return v == value; });
}

Attributes kernel_attributes(const ConvOptions& o) {
  std::vector<std::int64_t> offsets;
  for (const auto& offset : o.offsets) {
    RAREFY_CHECK(offset.size() == o.offsets[0].size(), UsageError,
                 "kernel offsets must have one number per axis: one has {}, another {}", o.offsets[0].size(),
                 offset.size());
    offsets.insert(offsets.end(), offset.begin(), offset.end());
  }
  return {{"kernel", o.offsets.empty() ? o.kernel : std::vector<std::int64_t>{1}},
          {"stride", o.stride},
          {"dilation", o.dilation},
          {"padding", o.padding},
          {"rule", std::string(o.rule == Rule::block ? "block" : "padded")},
          {"cells", o.cells},
          {"offsets", std::move(offsets)}};
}

std::int64_t flag(bool value) { return value ? 1 : 0; }

}  // namespace

std::vector<std::vector<std::int64_t>> cross_offsets(int dims, std::int64_t reach) {
  RAREFY_CHECK(dims >= 1 && dims <= kMaxDims && reach >= 1, UsageError,
               "a cross has 1 to {} axes and a reach of at least 1, got {} and {}", kMaxDims, dims, reach);
  std::vector<std::vector<std::int64_t>> offsets{std::vector<std::int64_t>(static_cast<std::size_t>(dims), 0)};
  for (int a = 0; a < dims; ++a) {
    for (std::int64_t d = 1; d <= reach; ++d) {
      for (const std::int64_t step : {-d, d}) {
        offsets.emplace_back(static_cast<std::size_t>(dims), 0);
        offsets.back()[static_cast<std::size_t>(a)] = step;
      }
    }
  }
  std::sort(offsets.begin(), offsets.end());
  return offsets;
}

ValueId Builder::points(std::int64_t channels, std::string name) {
  return add("input_points", {}, {{"channels", channels}}, std::move(name))[1];
}

ValueId Builder::sparse_input(std::int64_t channels, int dims, std::vector<std::int64_t> stride, std::string name) {
  return add("input_sparse", {},
             {{"channels", channels}, {"dims", static_cast<std::int64_t>(dims)}, {"stride", std::move(stride)}},
             std::move(name))[1];
}

Builder::Voxelized Builder::voxelize(ValueId points, const VoxelOptions& o) {
  const auto outputs =
      add("voxelize", {points},
          {{"voxel_size", o.voxel_size}, {"rounding", o.rounding}, {"crop_min", o.crop_min}, {"crop_max", o.crop_max}});
  return {outputs[0], outputs[1]};
}

ValueId Builder::reduce(ValueId point_features, ValueId index, std::string reduction) {
  return add("reduce", {point_features, index}, {{"reduction", std::move(reduction)}})[0];
}

ValueId Builder::select_columns(ValueId x, std::vector<std::int64_t> columns, std::vector<double> offset,
                                std::vector<double> scale, std::string name) {
  return add("select_columns", {x},
             {{"columns", std::move(columns)}, {"offset", std::move(offset)}, {"scale", std::move(scale)}},
             std::move(name))[0];
}

ValueId Builder::gather(ValueId x, ValueId index, double fill, std::string name) {
  return add("gather", {x, index}, {{"fill", fill}}, std::move(name))[0];
}

ValueId Builder::locate(ValueId from, ValueId space, std::vector<double> voxel_size) {
  return add("locate", {from, space}, {{"voxel_size", std::move(voxel_size)}})[0];
}

ValueId Builder::voxel_to_point(ValueId x, ValueId at, const DevoxelizeOptions& o) {
  if (at == space_of(x)) return x;
  if (o.nearest) return gather(x, locate(at, space_of(x), o.voxel_size));
  const ValueId weights =
      add("interpolation", {at, space_of(x)},
          {{"voxel_size", o.voxel_size}, {"missing", std::string(o.renormalise ? "renormalise" : "zero")}})[0];
  return add("interpolate", {x, weights})[0];
}

ValueId Builder::point_to_voxel(ValueId x, ValueId space) {
  return space == space_of(x) ? x : reduce(x, locate(space_of(x), space), "mean");
}

ValueId Builder::convolve(ValueId x, ValueId map, const ConvOptions& o) {
  if (o.groups == 1) return add("sparse_conv", {x, map}, {{"channels", o.channels}, {"bias", flag(o.bias)}}, o.name)[0];
  if (o.groups == o.channels && o.groups == type(x).channels)
    return add("depthwise_conv", {x, map}, {{"bias", flag(o.bias)}}, o.name)[0];
  return add("grouped_conv", {x, map}, {{"channels", o.channels}, {"groups", o.groups}, {"bias", flag(o.bias)}},
             o.name)[0];
}

ValueId Builder::conv(ValueId x, const ConvOptions& o) {
  const bool pointwise =
      all_equal(o.kernel, 1) && o.offsets.empty() && all_equal(o.stride, 1) && all_equal(o.padding, 0);
  if (pointwise && o.groups == 1) return linear(x, o.channels, o.bias, o.name);
  return convolve(x, window(x, o), o);
}

ValueId Builder::depthwise_conv(ValueId x, const ConvOptions& o) {
  return add("depthwise_conv", {x, window(x, o)}, {{"bias", flag(o.bias)}}, o.name)[0];
}

ValueId Builder::window(ValueId x, const ConvOptions& o) {
  const ValueId from = space_of(x);
  const Attributes kernel = kernel_attributes(o);
  const ValueId to = all_equal(o.stride, 1) ? from : add("downsample", {from}, kernel)[0];
  return add("kernel_map", {from, to}, kernel)[0];
}

ValueId Builder::conv_transposed(ValueId x, ValueId like, const ConvOptions& o) {
  const ValueId forward = add("kernel_map", {space_of(like), space_of(x)}, kernel_attributes(o))[0];
  return convolve(x, add("transpose_map", {forward})[0], o);
}

ValueId Builder::conv_generative(ValueId x, const ConvOptions& o) {
  const Attributes kernel = kernel_attributes(o);
  const ValueId fine = add("generate", {space_of(x)}, kernel)[0];
  const ValueId forward = add("kernel_map", {fine, space_of(x)}, kernel)[0];
  return convolve(x, add("transpose_map", {forward})[0], o);
}

ValueId Builder::conv_to(ValueId x, ValueId like, const ConvOptions& o) {
  return convolve(x, add("kernel_map", {space_of(x), space_of(like)}, kernel_attributes(o))[0], o);
}

ValueId Builder::pool(ValueId x, std::string reduction, const ConvOptions& o) {
  return add("pool", {x, window(x, o)}, {{"reduction", std::move(reduction)}}, o.name)[0];
}

ValueId Builder::unpool(ValueId x, ValueId like, const ConvOptions& o, std::string reduction) {
  const ValueId forward = add("kernel_map", {space_of(like), space_of(x)}, kernel_attributes(o))[0];
  const ValueId map = add("transpose_map", {forward})[0];
  return add("pool", {x, map}, {{"reduction", std::move(reduction)}}, o.name)[0];
}

ValueId Builder::global_pool(ValueId x, std::string reduction) {
  const ValueId samples = add("samples", {space_of(x)})[0];
  return add("global_pool", {x, samples}, {{"reduction", std::move(reduction)}})[0];
}

ValueId Builder::broadcast(ValueId x, ValueId like) { return add("broadcast", {x, space_of(like)})[0]; }

ValueId Builder::squeeze_excite(ValueId x, const SqueezeExciteOptions& o) {
  RAREFY_CHECK(o.reduction >= 1, UsageError, "squeeze_excite{}: reduction is {}, expected at least 1",
               o.name.empty() ? "" : " '" + o.name + "'", o.reduction);
  const auto layer = [&](const char* part) { return o.name.empty() ? std::string() : o.name + "." + part; };
  const std::int64_t channels = type(x).channels, squeezed = std::max<std::int64_t>(1, channels / o.reduction);
  const ValueId hidden = add(o.activation, {linear(global_pool(x, o.pooling), squeezed, o.bias, layer("squeeze"))})[0];
  const ValueId gate = add(o.gate, {linear(hidden, channels, o.bias, layer("excite"))})[0];
  return add("mul", {x, broadcast(gate, x)})[0];
}

std::vector<ValueId> Builder::align(std::vector<ValueId> values, Sites sites) {
  RAREFY_CHECK(!values.empty(), UsageError, "there are no values to bring to one space");
  const char* op = sites == Sites::united ? "site_union" : "site_intersection";
  ValueId space = space_of(values[0]);
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (space_of(values[i]) == space) continue;
    const auto joined = add(op, {space, space_of(values[i])});
    for (std::size_t before = 0; before < i; ++before) values[before] = gather(values[before], joined[1]);
    values[i] = gather(values[i], joined[2]);
    space = joined[0];
  }
  return values;
}

ValueId Builder::add_aligned(std::vector<ValueId> values, Sites sites) {
  values = align(std::move(values), sites);
  ValueId sum = values[0];
  for (std::size_t i = 1; i < values.size(); ++i) sum = add_values(sum, values[i]);
  return sum;
}

ValueId Builder::multiply_aligned(std::vector<ValueId> values, Sites sites) {
  values = align(std::move(values), sites);
  ValueId product = values[0];
  for (std::size_t i = 1; i < values.size(); ++i) product = add("mul", {product, values[i]})[0];
  return product;
}

ValueId Builder::concat_aligned(std::vector<ValueId> values, Sites sites) {
  return concat(align(std::move(values), sites));
}

Builder::Selected Builder::select(ValueId scores, double threshold, std::int64_t leading) {
  const auto outputs = add("select", {scores, space_of(scores)}, {{"threshold", threshold}, {"leading", leading}});
  return {outputs[0], outputs[1], outputs[2]};
}

ValueId Builder::prune(ValueId x, ValueId scores, double threshold) {
  if (space_of(scores) != space_of(x)) {
    const double too_low = threshold - 1e-3 * std::abs(threshold);  // also as a float
    scores = gather(scores, locate(space_of(x), space_of(scores)), too_low);
  }
  return gather(x, select(scores, threshold).row_of_kept);
}

ValueId Builder::to_dense(ValueId x, const DenseOptions& o) {
  const ValueId sites = space_of(x);
  const auto axes = static_cast<std::ptrdiff_t>(o.axes == 0 ? o.min.size() : static_cast<std::size_t>(o.axes));
  RAREFY_CHECK(axes >= 1 && o.min.size() == o.max.size() && static_cast<std::size_t>(axes) <= o.min.size(), UsageError,
               "to_dense: min has {} entries, max has {}, and the image keeps {} axes", o.min.size(), o.max.size(),
               o.axes);
  const ValueId image = add("box", {sites},
                            {{"min", std::vector<std::int64_t>(o.min.begin(), o.min.begin() + axes)},
                             {"max", std::vector<std::int64_t>(o.max.begin(), o.max.begin() + axes)}})[0];
  return add("to_dense", {x, sites, image}, {{"min", o.min}, {"max", o.max}})[0];
}

ValueId Builder::from_dense(ValueId image, ValueId space, const DenseOptions& o) {
  return add("from_dense", {image, space_of(image), space}, {{"min", o.min}, {"max", o.max}})[0];
}

ValueId Builder::linear(ValueId x, std::int64_t channels, bool bias, std::string name) {
  return add("linear", {x}, {{"channels", channels}, {"bias", flag(bias)}}, std::move(name))[0];
}

ValueId Builder::batch_norm(ValueId x, double epsilon, double momentum, std::string name) {
  return add("batch_norm", {x}, {{"epsilon", epsilon}, {"momentum", momentum}}, std::move(name))[0];
}

ValueId Builder::layer_norm(ValueId x, double epsilon, std::string name) {
  return add("layer_norm", {x}, {{"epsilon", epsilon}}, std::move(name))[0];
}

ValueId Builder::group_norm(ValueId x, std::int64_t groups, double epsilon, std::string name) {
  return add("group_norm", {x}, {{"num_groups", groups}, {"epsilon", epsilon}}, std::move(name))[0];
}

ValueId Builder::dropout(ValueId x, double ratio, std::string name) {
  return add("dropout", {x}, {{"ratio", ratio}}, std::move(name))[0];
}

ValueId Builder::prelu(ValueId x, std::string name) { return add("prelu", {x}, {}, std::move(name))[0]; }
ValueId Builder::softmax(ValueId x) { return add("softmax", {x})[0]; }
ValueId Builder::relu(ValueId x) { return add("relu", {x})[0]; }
ValueId Builder::add_values(ValueId a, ValueId b) { return add("add", {a, b})[0]; }
ValueId Builder::concat(std::vector<ValueId> values) { return add("concat", std::move(values))[0]; }
ValueId Builder::argmax(ValueId x) { return add("argmax", {x})[0]; }

}  // namespace rarefy
