#include "rarefy/builder.h"

#include <algorithm>

#include "base/check.h"

namespace rarefy {
namespace {

bool all_equal(const std::vector<std::int64_t>& values, std::int64_t value) {
  return std::all_of(values.begin(), values.end(), [value](std::int64_t v) { return v == value; });
}

Attributes kernel_attributes(const ConvOptions& o) {
  return {{"kernel", o.kernel},
          {"stride", o.stride},
          {"dilation", o.dilation},
          {"padding", o.padding},
          {"rule", std::string(o.rule == Rule::block ? "block" : "padded")}};
}

Attributes conv_attributes(const ConvOptions& o) {
  return {{"channels", o.channels}, {"bias", static_cast<std::int64_t>(o.bias ? 1 : 0)}};
}

}  // namespace

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

ValueId Builder::conv(ValueId x, const ConvOptions& o) {
  const ValueId from = space_of(x);
  const bool strided = !all_equal(o.stride, 1);
  if (all_equal(o.kernel, 1) && !strided && all_equal(o.padding, 0)) return linear(x, o.channels, o.bias, o.name);
  const Attributes kernel = kernel_attributes(o);
  const ValueId to = strided ? add("downsample", {from}, kernel)[0] : from;
  const ValueId map = add("kernel_map", {from, to}, kernel)[0];
  return add("sparse_conv", {x, map}, conv_attributes(o), o.name)[0];
}

ValueId Builder::conv_transposed(ValueId x, ValueId like, const ConvOptions& o) {
  const ValueId forward = add("kernel_map", {space_of(like), space_of(x)}, kernel_attributes(o))[0];
  const ValueId map = add("transpose_map", {forward})[0];
  return add("sparse_conv", {x, map}, conv_attributes(o), o.name)[0];
}

ValueId Builder::conv_generative(ValueId x, const ConvOptions& o) {
  const Attributes kernel = kernel_attributes(o);
  const ValueId fine = add("generate", {space_of(x)}, kernel)[0];
  const ValueId forward = add("kernel_map", {fine, space_of(x)}, kernel)[0];
  const ValueId map = add("transpose_map", {forward})[0];
  return add("sparse_conv", {x, map}, conv_attributes(o), o.name)[0];
}

ValueId Builder::conv_to(ValueId x, ValueId like, const ConvOptions& o) {
  const ValueId map = add("kernel_map", {space_of(x), space_of(like)}, kernel_attributes(o))[0];
  return add("sparse_conv", {x, map}, conv_attributes(o), o.name)[0];
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
  return add("linear", {x}, {{"channels", channels}, {"bias", static_cast<std::int64_t>(bias ? 1 : 0)}},
             std::move(name))[0];
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
