"""Networks written once over the modules of spconv, spconv-triton, rarefy.torch.spconv and gather_cublas alike.

The same state dict loads into all of them: [C_out, k0, k1, k2, C_in], as in spconv 2. Axes of MinkUNet and SPVCNN are x, y,
z, those of the CenterPoint encoder z, y, x.
"""
import torch
from torch import nn


class ConvNorm(nn.Module):
    """Convolution, norm and, unless it ends a block, ReLU."""

    def __init__(self, conv, relu=True, eps=1e-5):
        super().__init__()
        self.conv, self.relu = conv, relu
        self.norm = nn.BatchNorm1d(conv.out_channels, eps=eps)
        self.fused = False  # whether the convolution applies the ReLU itself

    def forward(self, x):
        x = self.conv(x)
        if self.norm is None and (self.fused or not self.relu):
            return x
        y = x.features if self.norm is None else self.norm(x.features)
        return x.replace_feature(torch.relu_(y) if self.relu else y)

    def fold(self, fuse):
        """The norm goes into weight and bias; with `fuse` (a function), the ReLU into the convolution."""
        with torch.no_grad():
            scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
            bias = self.norm.bias - self.norm.running_mean * scale
            if self.conv.bias is not None:
                bias = bias + self.conv.bias * scale
            self.conv.weight.mul_(scale.view(-1, *[1] * (self.conv.weight.dim() - 1)))
            self.conv.bias = nn.Parameter(bias)
        self.norm = None
        if self.relu and fuse is not None:
            fuse(self.conv)
            self.fused = True


class LinearNorm(nn.Module):
    """Linear layer and norm, for shortcuts and points."""

    def __init__(self, cin, cout, relu=False, bias=False):
        super().__init__()
        self.linear, self.norm, self.relu = nn.Linear(cin, cout, bias=bias), nn.BatchNorm1d(cout), relu

    def forward(self, x):
        y = self.linear(x)
        y = y if self.norm is None else self.norm(y)
        return torch.relu_(y) if self.relu else y

    def fold(self, _):
        with torch.no_grad():
            scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
            bias = self.norm.bias - self.norm.running_mean * scale
            if self.linear.bias is not None:
                bias = bias + self.linear.bias * scale
            self.linear.weight.mul_(scale[:, None])
            self.linear.bias = nn.Parameter(bias)
        self.norm = None


class Block(nn.Module):
    """Residual block."""

    def __init__(self, sp, cin, cout, key, eps=1e-5, bias=False):
        super().__init__()
        self.first = ConvNorm(sp.SubMConv3d(cin, cout, 3, bias=bias, indice_key=key), eps=eps)
        self.second = ConvNorm(sp.SubMConv3d(cout, cout, 3, bias=bias, indice_key=key), relu=False, eps=eps)
        self.shortcut = None if cin == cout else LinearNorm(cin, cout)

    def forward(self, x):
        y = self.second(self.first(x))
        skip = x.features if self.shortcut is None else self.shortcut(x.features)
        return y.replace_feature(torch.relu_(y.features + skip))


class MinkUNet(nn.Module):
    """As in the spvnas code: Choy et al., CVPR 2019; Tang et al., ECCV 2020."""

    def __init__(self, sp, width=1.0, classes=19):
        super().__init__()
        self.cs = cs = [int(c * width) for c in (32, 32, 64, 128, 256, 256, 128, 96, 96)]
        self.stem = nn.ModuleList([ConvNorm(sp.SubMConv3d(4, cs[0], 3, bias=False, indice_key="l0")),
                                   ConvNorm(sp.SubMConv3d(cs[0], cs[0], 3, bias=False, indice_key="l0"))])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i in range(4):
            key = f"l{i + 1}"
            self.down.append(nn.ModuleList([
                ConvNorm(sp.SparseConv3d(cs[i], cs[i], 2, stride=2, bias=False, indice_key=f"d{i}")),
                Block(sp, cs[i], cs[i + 1], key), Block(sp, cs[i + 1], cs[i + 1], key)]))
        for i in range(4):
            level, cin, cout = 3 - i, cs[4 + i], cs[5 + i]
            self.up.append(nn.ModuleList([
                ConvNorm(sp.SparseInverseConv3d(cin, cout, 2, bias=False, indice_key=f"d{level}")),
                Block(sp, cout + cs[level], cout, f"l{level}"), Block(sp, cout, cout, f"l{level}")]))
        self.classifier = nn.Linear(cs[8], classes)

    def stage_down(self, x, i):
        for layer in self.down[i]:
            x = layer(x)
        return x

    def stage_up(self, x, i, skip):
        x = self.up[i][0](x)
        x = x.replace_feature(torch.cat([x.features, skip.features], 1))
        return self.up[i][2](self.up[i][1](x))

    def forward(self, x):
        for layer in self.stem:
            x = layer(x)
        levels = [x]
        for i in range(4):
            levels.append(self.stage_down(levels[-1], i))
        x = levels[4]
        for i in range(4):
            x = self.stage_up(x, i, levels[3 - i])
        return self.classifier(x.features)


class SPVCNN(MinkUNet):
    """As in the spvnas code, with one point per voxel of the finest level, as there after voxelization. At stride 1 points
    and voxels are the same rows; to and from stride 16 and 4 goes by trilinear weights and means, from PyTorch's operators
    (spconv has none of its own)."""

    def __init__(self, sp, width=1.0, classes=19):
        super().__init__(sp, width, classes)
        cs = self.cs
        self.points = nn.ModuleList([LinearNorm(cs[0], cs[4], True, True), LinearNorm(cs[4], cs[6], True, True),
                                     LinearNorm(cs[6], cs[8], True, True)])

    def forward(self, x):
        for layer in self.stem:
            x = layer(x)
        levels, z0 = [x], x.features
        for i in range(4):
            levels.append(self.stage_down(levels[-1], i))
        coarse, middle = Trilinear(x, levels[4], 16), Trilinear(x, levels[2], 4)
        z1 = coarse.to_points(levels[4].features) + self.points[0](z0)
        y = levels[4].replace_feature(coarse.to_voxels(z1))
        y = self.stage_up(self.stage_up(y, 0, levels[3]), 1, levels[2])
        z2 = middle.to_points(y.features) + self.points[1](z1)
        y = y.replace_feature(middle.to_voxels(z2))
        y = self.stage_up(self.stage_up(y, 2, levels[1]), 3, levels[0])
        return self.classifier(y.features + self.points[2](z2))


class Trilinear:
    """Between the cells of `fine`, taken as points, and those of `coarse`, `ratio` times as large."""

    def __init__(self, fine, coarse, ratio):
        points, cells = fine.indices.long(), coarse.indices.long()
        shape = [n + 2 for n in coarse.spatial_shape]
        key = lambda batch, c: ((batch * shape[0] + c[..., 0]) * shape[1] + c[..., 1]) * shape[2] + c[..., 2]  # noqa: E731
        keys, order = torch.sort(key(cells[:, 0], cells[:, 1:]))
        base = torch.div(points[:, 1:], ratio, rounding_mode="floor")
        part = points[:, 1:] / ratio - base
        corner = torch.tensor([[i >> 2, i >> 1 & 1, i & 1] for i in range(8)], device=points.device)
        wanted = key(points[:, None, 0], base[:, None] + corner)
        at = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
        weight = torch.where(corner.bool(), part[:, None], 1 - part[:, None]).prod(2) * (keys[at] == wanted)
        self.weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-8)
        self.row, self.voxel, self.voxels = order[at], order[at[:, 0]], len(keys)
        self.share = (1.0 / torch.bincount(self.voxel, minlength=self.voxels).clamp(min=1))[:, None]

    def to_points(self, x):
        return sum(x.index_select(0, self.row[:, i]) * self.weight[:, i, None].to(x.dtype) for i in range(8))

    def to_voxels(self, z):
        sums = z.new_zeros(self.voxels, z.shape[1]).index_add(0, self.voxel, z)
        return sums * self.share.to(z.dtype)


class CenterPointEncoder(nn.Module):
    """VoxelResBackBone8x of OpenPCDet (CenterPoint). OpenPCDet's first two groups build the same map twice, under two keys;
    `share` builds it once."""

    def __init__(self, sp, share=False, channels=5):
        super().__init__()
        first = "res1" if share else "subm1"
        make = lambda cin, cout, key, k=3, s=2, p=1: ConvNorm(  # noqa: E731
            sp.SparseConv3d(cin, cout, k, stride=s, padding=p, bias=False, indice_key=key), eps=1e-3)
        block = lambda c, key: Block(sp, c, c, key, 1e-3, True)  # noqa: E731
        self.layers = nn.ModuleList([
            ConvNorm(sp.SubMConv3d(channels, 16, 3, bias=False, indice_key=first), eps=1e-3),
            block(16, "res1"), block(16, "res1"),
            make(16, 32, "spconv2"), block(32, "res2"), block(32, "res2"),
            make(32, 64, "spconv3"), block(64, "res3"), block(64, "res3"),
            make(64, 128, "spconv4", p=[0, 1, 1]), block(128, "res4"), block(128, "res4"),
            make(128, 128, "spconv_down2", [3, 1, 1], [2, 1, 1], 0)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def build(model, sp, share=False):
    """Model by its name: minkunet_w0.5, spvcnn_w1.0, centerpoint."""
    if model == "centerpoint":
        return CenterPointEncoder(sp, share)
    name, width = model.split("_w")
    return {"minkunet": MinkUNet, "spvcnn": SPVCNN}[name](sp, float(width))


def randomize(net, seed=1):
    """The same weights for the same seed, whatever the modules: convolutions keep the variance, norms near 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(net.named_parameters()):
            values = torch.randn(p.shape, generator=generator)
            if p.dim() > 1:
                p.copy_(values * (2.0 / p[0].numel()) ** 0.5)
            elif name.endswith("norm.weight"):
                p.copy_(1 + 0.1 * values)
            else:
                p.copy_(0.1 * values)
    return net


def calibrate(net, x):
    """Running statistics of the norms are those of this input."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    net.train()
    with torch.no_grad():
        net(x)
    for norm in norms:
        norm.momentum = 0.1
    return net.eval()


def fold(net, fuse=None):
    for module in list(net.modules()):
        if isinstance(module, (ConvNorm, LinearNorm)):
            module.fold(fuse)
    return net


def openpcdet_names(net):
    """State dict of the CenterPoint encoder under OpenPCDet's names."""
    groups = [("conv_input", 1), ("conv1", 2), ("conv2", 3), ("conv3", 3), ("conv4", 3), ("conv_out", 1)]
    result, layers = {}, iter(net.layers)
    for group, count in groups:
        for i in range(count):
            layer = next(layers)
            name = f"backbone_3d.{group}" + (f".{i}" if count > 1 else "")
            if isinstance(layer, ConvNorm):
                put(result, name + ".0", layer.conv)
                put(result, name + ".1", layer.norm)
            else:
                for j, part in enumerate((layer.first, layer.second), 1):
                    put(result, f"{name}.conv{j}", part.conv)
                    put(result, f"{name}.bn{j}", part.norm)
    return result


def mmdet3d_names(net):
    """State dict of MinkUNet under mmdet3d's names (spconv modules), which `rarefy convert --from mmdet3d` reads."""
    result = {}
    for i, layer in enumerate(net.stem):
        put(result, f"backbone.conv_input.{i}.0", layer.conv)
        put(result, f"backbone.conv_input.{i}.1", layer.norm)
    for part, stages in (("encoder", net.down), ("decoder", net.up)):
        for i, (conv, *blocks) in enumerate(stages):
            put(result, f"backbone.{part}.{i}.0.0", conv.conv)
            put(result, f"backbone.{part}.{i}.0.1", conv.norm)
            for j, block in enumerate(blocks):
                name = f"backbone.{part}.{i}." + (f"{j + 1}" if part == "encoder" else f"1.{j}")
                for k, piece in enumerate((block.first, block.second), 1):
                    put(result, f"{name}.conv{k}", piece.conv)
                    put(result, f"{name}.bn{k}", piece.norm)
                if block.shortcut is not None:
                    put(result, f"{name}.downsample.0", block.shortcut.linear)
                    put(result, f"{name}.downsample.1", block.shortcut.norm)
    put(result, "decode_head.conv_seg", net.classifier)
    return result


def rarefy_weights(net):
    """Weights of MinkUNet or SPVCNN as a rarefy.Model takes them."""
    result = {}

    def add(name, module):
        for key, value in module.state_dict().items():
            if key == "num_batches_tracked":
                continue
            value = value.detach().cpu().float()
            if value.dim() == 5:  # [C_out, k0, k1, k2, C_in]
                value = value.flatten(1, 3).permute(1, 2, 0)
            elif value.dim() == 2:
                value = value.t()
            result[f"{name}.{key}"] = value.contiguous().numpy()

    def layer(name, module):
        add(name, module.conv)
        add(name + ".bn", module.norm)

    def block(name, module):
        layer(name + ".conv1", module.first)
        layer(name + ".conv2", module.second)
        if module.shortcut is not None:
            add(name + ".shortcut", module.shortcut.linear)
            add(name + ".shortcut.bn", module.shortcut.norm)

    for i, module in enumerate(net.stem, 1):
        layer(f"stem.conv{i}", module)
    for part, stages in (("down", net.down), ("up", net.up)):
        for i, (conv, first, second) in enumerate(stages, 1):
            layer(f"{part}{i}.conv", conv)
            block(f"{part}{i}.res1", first)
            block(f"{part}{i}.res2", second)
    for i, module in enumerate(getattr(net, "points", []), 1):
        add(f"point{i}.linear", module.linear)
        add(f"point{i}.bn", module.norm)
    add("classifier", net.classifier)
    return result


def put(result, name, module):
    for key, value in module.state_dict().items():
        value = value.detach().cpu().contiguous()
        if name.endswith("downsample.0") and key == "weight":
            value = value[:, None, None, None, :].contiguous()  # a convolution of one offset there
        result[f"{name}.{key}"] = value
