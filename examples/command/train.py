"""A small network on a table: python train.py --data rows.parquet --seed 0 --out net."""

import argparse
from pathlib import Path

import polars as pl
import torch

EPOCHS, EVERY = 300, 50

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--out", type=Path, required=True)
options = parser.parse_args()

torch.manual_seed(options.seed)
rows = pl.read_parquet(options.data)
y = rows["progression"].to_torch().float()
x = rows.drop("progression").to_torch().float()
centre, scale, mean, spread = x.mean(0), x.std(0), y.mean(), y.std()
x, y = (x - centre) / scale, (y - mean) / spread
net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
optimiser = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=0.01)

options.out.mkdir(exist_ok=True)
half = options.out / "half.pt"
begun = torch.load(half, weights_only=True) if half.exists() else {"epoch": 0}
if begun["epoch"]:
    net.load_state_dict(begun["net"])
    optimiser.load_state_dict(begun["optimiser"])
for epoch in range(begun["epoch"], EPOCHS):
    loss = torch.nn.functional.mse_loss(net(x)[:, 0], y)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if (epoch + 1) % EVERY == 0:
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}")
        torch.save({"epoch": epoch + 1, "net": net.state_dict(), "optimiser": optimiser.state_dict()}, half)
half.unlink(missing_ok=True)
scales = {"centre": centre, "scale": scale, "mean": mean, "spread": spread}
torch.save({"net": net.state_dict(), "scales": scales}, options.out / "net.pt")
