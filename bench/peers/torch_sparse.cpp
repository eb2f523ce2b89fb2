#include "peers/torch_sparse.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/check.h"

namespace rarefy::peer {
namespace {

constexpr std::int64_t kBits = 18, kZero = std::int64_t{1} << (kBits - 1);

std::int64_t delta(std::int64_t x, std::int64_t y, std::int64_t z) {
  return x * (std::int64_t{1} << (2 * kBits)) + y * (std::int64_t{1} << kBits) + z;
}

at::Tensor pack(const at::Tensor& batch, const at::Tensor& x, const at::Tensor& y, const at::Tensor& z) {
  return batch.mul(delta(std::int64_t{1} << kBits, 0, 0))
      .add_(x.add(kZero).mul_(delta(1, 0, 0)))
      .add_(y.add(kZero).mul_(delta(0, 1, 0)))
      .add_(z.add(kZero));
}

/// Adds what the offsets other than the identity contribute.
void add_offsets(at::Tensor& y, const at::Tensor& x, const std::vector<at::Tensor>& weights, const Map& map) {
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const Map::Offset& pairs = map.offsets[k];
    if (static_cast<std::int64_t>(k) == map.identity || pairs.in.numel() == 0) continue;
    y.index_add_(0, pairs.out, at::mm(x.index_select(0, pairs.in), weights[k]));
  }
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Map& map) {
  const std::vector<at::Tensor> weights = weight.unbind(0);
  at::Tensor y;
  if (map.identity >= 0) {
    const at::Tensor& w = weights[static_cast<std::size_t>(map.identity)];
    y = bias.defined() ? at::addmm(bias, x, w) : at::mm(x, w);
  } else {
    y = at::zeros({map.out_rows, weight.size(2)}, x.options());
    if (bias.defined()) y = y.add(bias);
  }
  add_offsets(y, x, weights, map);
  return y;
}

/// Gradients per offset from the same indices; without a bias.
struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const Map* map) {
    context->save_for_backward({x, weight});
    context->saved_data["map"] = reinterpret_cast<std::int64_t>(map);
    return peer::forward(x, weight, {}, *map);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &gy = gradients[0];
    const Map& map = *reinterpret_cast<const Map*>(context->saved_data["map"].toInt());
    const bool wants_gx = context->needs_input_grad(0);
    at::Tensor gx = wants_gx ? at::zeros_like(x) : at::Tensor(), gw = at::zeros_like(weight);
    for (std::int64_t k = 0; k < weight.size(0); ++k) {
      const Map::Offset& pairs = map.offsets[static_cast<std::size_t>(k)];
      if (k == map.identity) {
        if (wants_gx) gx.addmm_(gy, weight[k].t());
        gw[k] = at::mm(x.t(), gy);
      } else if (pairs.in.numel() > 0) {
        const at::Tensor g = gy.index_select(0, pairs.out);
        if (wants_gx) gx.index_add_(0, pairs.in, at::mm(g, weight[k].t()));
        gw[k] = at::mm(x.index_select(0, pairs.in).t(), g);
      }
    }
    return {gx, gw, at::Tensor()};
  }
};

}  // namespace

std::int64_t Map::pairs() const {
  std::int64_t sum = identity >= 0 ? out_rows : 0;
  for (const Offset& offset : offsets) sum += offset.in.defined() ? offset.in.numel() : 0;
  return sum;
}

Sites make_sites(const at::Tensor& rows, std::int64_t stride) {
  const std::vector<at::Tensor> column = rows.unbind(1);
  return {pack(column[0], column[1], column[2], column[3]), stride};
}

Sites downsample(const Sites& sites, std::int64_t factor) {
  const std::int64_t stride = sites.stride * factor;
  RAREFY_CHECK((stride & (stride - 1)) == 0, UnsupportedError, "the peer takes strides of powers of two, not {}",
               stride);
  // Offset-binary fields begin at a multiple of the stride: rounding down clears their low bits.
  const std::int64_t low = delta(stride - 1, stride - 1, stride - 1);
  const at::Tensor keys = std::get<0>(at::sort(sites.keys.bitwise_and(~low)));
  return {std::get<0>(at::unique_consecutive(keys)), stride};
}

Map build_map(const Sites& in, const Sites& out, std::int64_t size) {
  Map map;
  map.out_rows = out.keys.numel();
  const bool same = in.keys.is_same(out.keys) && size % 2 == 1;
  const std::int64_t volume = size * size * size, first = size % 2 == 1 ? -(size / 2) : 0;
  if (same) map.identity = volume / 2;
  for (std::int64_t k = 0; k < volume; ++k) {
    if (k == map.identity || in.keys.numel() == 0) {
      map.offsets.push_back({at::empty({0}, at::kLong), at::empty({0}, at::kLong)});
      continue;
    }
    if (same && k > map.identity) {  // the mirror image of an offset that was searched
      const Map::Offset& mirrored = map.offsets[static_cast<std::size_t>(volume - 1 - k)];
      map.offsets.push_back({mirrored.out, mirrored.in});
      continue;
    }
    const std::int64_t x = first + k / (size * size), y = first + k / size % size, z = first + k % size;
    const at::Tensor wanted = out.keys.add(in.stride * delta(x, y, z));
    const at::Tensor place = at::searchsorted(in.keys, wanted).clamp_max_(in.keys.numel() - 1);
    const at::Tensor found = in.keys.index_select(0, place).eq(wanted).nonzero().squeeze(1);
    map.offsets.push_back({place.index_select(0, found), found});
  }
  return map;
}

Map transposed(const Map& map, std::int64_t out_rows) {
  Map result = map;
  result.out_rows = out_rows;
  for (Map::Offset& offset : result.offsets) std::swap(offset.in, offset.out);
  return result;
}

Voxelized voxelize(const at::Tensor& points, const std::vector<double>& voxel_size) {
  const at::Tensor edge = at::empty({1, 3}, at::kFloat);
  for (std::size_t axis = 0; axis < 3; ++axis) edge.data_ptr<float>()[axis] = static_cast<float>(voxel_size[axis]);
  const at::Tensor cells = points.narrow(1, 0, 3).div(edge).floor_().to(at::kLong);
  const std::vector<at::Tensor> column = cells.unbind(1);
  const auto [sorted, order] = at::sort(pack(at::zeros_like(column[0]), column[0], column[1], column[2]));
  const auto [keys, voxel, counts] = at::unique_consecutive(sorted, true, true);
  at::Tensor voxel_of_point = at::empty_like(voxel);
  voxel_of_point.index_copy_(0, order, voxel);
  return {{keys, 1}, voxel_of_point, counts};
}

at::Tensor mean_of_points(const at::Tensor& points, const Voxelized& voxels) {
  return at::zeros({voxels.points.numel(), points.size(1)}, points.options())
      .index_add_(0, voxels.voxel_of_point, points)
      .div_(voxels.points.unsqueeze(1));
}

at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const Map& map,
                    Derivative derivative) {
  if (derivative == Derivative::composed) return forward(x, weight, bias, map);
  const at::Tensor y = Convolution::apply(x, weight, &map);
  return bias.defined() ? y + bias : y;
}

}  // namespace rarefy::peer
