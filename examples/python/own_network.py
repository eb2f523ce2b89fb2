#!/usr/bin/env python3
"""A network of one's own: built, trained a little with PyTorch, saved, loaded, run without PyTorch.

    python3 own_network.py

Layers are rarefy.torch's, over the kernels that the saved model runs on.
"""
import sys

import numpy as np
import torch

import rarefy
from rarefy.torch import SparseTensor, cat, nn as spnn


def ball_on_a_plate():
    """Sites, and whether each belongs to the ball: to be told from the occupied neighbourhood alone."""
    x, y, z = np.meshgrid(np.arange(-12, 13), np.arange(-12, 13), np.arange(13), indexing="ij")
    ball = np.abs(np.sqrt(x * x + y * y + (z - 6.0) ** 2) - 5.0) < 0.6
    sites = np.argwhere(ball | (z == 0))
    coords = np.column_stack([np.zeros(len(sites)), sites - [12, 12, 0]]).astype(np.int32)
    return coords, ball[tuple(sites.T)].astype(np.uint8)


class Network(torch.nn.Module):
    """Two layers at full resolution around one at half of it."""

    def __init__(self):
        super().__init__()
        self.fine, self.fine_norm = spnn.Conv3d(1, 16, 3), spnn.BatchNorm(16)
        self.coarse, self.coarse_norm = spnn.Conv3d(16, 32, 2, stride=2), spnn.BatchNorm(32)
        self.up, self.up_norm = spnn.Conv3d(32, 16, 2, stride=2, transposed=True), spnn.BatchNorm(16)
        self.head = spnn.Conv3d(32, 2, 1, bias=True)
        self.relu = spnn.ReLU()

    def forward(self, x):
        fine = self.relu(self.fine_norm(self.fine(x)))
        coarse = self.relu(self.coarse_norm(self.coarse(fine)))
        up = self.relu(self.up_norm(self.up(coarse)))
        return self.head(cat([up, fine]))


def as_model(network):
    """The same network as a graph, with the trained weights under the names of its modules."""
    g = rarefy.Graph()
    x = g.sparse_input(channels=1, dims=3)
    fine = g.relu(g.batch_norm(g.conv(x, 16, name="fine"), name="fine_norm"))
    coarse = g.relu(g.batch_norm(g.conv(fine, 32, kernel=2, stride=2, name="coarse"), name="coarse_norm"))
    up = g.conv_transposed(coarse, fine, 16, kernel=2, stride=2, name="up")
    up = g.relu(g.batch_norm(up, name="up_norm"))
    logits = g.linear(g.concat(up, fine), channels=2, bias=True, name="head")
    g.output("logits", logits)
    g.output("labels", g.argmax(logits))

    weights = {f"{name}.{key}": value for name, module in network.named_children()
               for key, value in module.state_dict().items() if key not in ("kernel", "num_batches_tracked")}
    for name, module in network.named_children():
        if hasattr(module, "kernel"):
            weights[f"{name}.weight"] = module.weight().detach()
    weights["head.weight"] = weights["head.weight"][0]  # a kernel of one offset is a matrix
    return rarefy.Model(g, weights)


def main():
    torch.manual_seed(1)
    coords, labels = ball_on_a_plate()
    x = SparseTensor(torch.ones(len(coords), 1), torch.from_numpy(coords))
    target = torch.from_numpy(labels.astype(np.int64))
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x).feats, target)
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss:.3f}")

    network.eval()
    as_model(network).save("own_network.safetensors")
    model = rarefy.load("own_network.safetensors", threads=2)
    out = model.run(x=rarefy.SparseTensor(coords, np.ones((len(coords), 1), np.float32)))
    # Rows come out in the order of the coordinates; this input was made in that order.
    right = (out["labels"] == labels).mean()
    error = np.abs(out["logits"] - network(x).feats.detach().numpy()).max()
    print(f"{100 * right:.1f} % of {len(labels)} sites right; the saved model differs from PyTorch's by {error:.1e}")
    return 0 if right > 0.95 and error < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
