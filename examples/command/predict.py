"""What the network answers: python predict.py --model net --data rows.parquet --out predictions.parquet."""

import argparse
from pathlib import Path

import polars as pl
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--model", type=Path, required=True)
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--out", type=Path, required=True)
options = parser.parse_args()

kept = torch.load(options.model / "net.pt", weights_only=True)
scales, x = kept["scales"], pl.read_parquet(options.data).to_torch().float()
net = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
net.load_state_dict(kept["net"])
with torch.no_grad():
    answer = net((x - scales["centre"]) / scales["scale"])[:, 0] * scales["spread"] + scales["mean"]
pl.DataFrame({"prediction": answer.numpy()}).write_parquet(options.out)
