"""DeiT in PyTorch as timm writes it (one layer for queries, keys and values, scaled_dot_product_attention), with the weights of a
rarefy model of the builder "vit"."""
import numpy
import torch


class Vit(torch.nn.Module):
    """images [B, 3, height, width], RGB from 0 to 1 -> logits [B, classes]."""

    def __init__(self, weights, heads, patch):
        super().__init__()
        self.heads = heads
        self.depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))

        def keep(name, array):
            self.register_buffer(name.replace(".", "_"), torch.from_numpy(numpy.array(array, order="C")))

        for name, array in weights.items():
            if name == "patch_embed.proj.weight":  # rows: channel by channel, each line by line
                keep(name, array.T.reshape(-1, 3, patch, patch))
            elif ".attn.q." in name:
                parts = [weights[name.replace(".attn.q.", f".attn.{part}.")] for part in "qkv"]
                keep(name.replace(".attn.q.", ".attn.qkv."), numpy.concatenate(parts, axis=-1).T)
            elif ".attn.k." not in name and ".attn.v." not in name:
                keep(name, array.T if array.ndim == 2 and name not in ("cls_token.weight", "pos_embed.weight") else array)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.patch = patch

    def linear(self, x, name):
        return torch.nn.functional.linear(x, getattr(self, name + "_weight"), getattr(self, name + "_bias"))

    def norm(self, x, name):
        weight = getattr(self, name + "_weight")
        return torch.nn.functional.layer_norm(x, weight.shape, weight, getattr(self, name + "_bias"), 1e-6)

    def attend(self, x, name):
        batch, rows, channels = x.shape
        q, k, v = self.linear(x, name + "_qkv").reshape(batch, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return self.linear(y.transpose(1, 2).reshape(batch, rows, channels), name + "_proj")

    def forward(self, images):
        x = torch.nn.functional.conv2d((images - self.mean) / self.deviation, self.patch_embed_proj_weight, self.patch_embed_proj_bias,
                                       stride=self.patch)
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token_weight.reshape(1, 1, -1).expand(x.shape[0], -1, -1), x], 1) + self.pos_embed_weight
        for i in range(self.depth):
            name = f"blocks_{i}_"
            x = x + self.attend(self.norm(x, name + "norm1"), name + "attn")
            hidden = torch.nn.functional.gelu(self.linear(self.norm(x, name + "norm2"), name + "mlp_fc1"))
            x = x + self.linear(hidden, name + "mlp_fc2")
        return self.linear(self.norm(x[:, 0], "norm"), "head")
